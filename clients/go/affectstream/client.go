// Package affectstream streams audio to an Affectstream server and gives back how it was said.
package affectstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	pb "affectstream.dev/gen/go/affectstream/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
)

// How long to wait. While audio may still come there is no limit between events: silence brings none.
const (
	StartWithin = 10 * time.Second // for session_started, connecting included
	IdleWithin  = 30 * time.Second // after the end of audio, from one event to the next
)

// Options say how to get in. The zero value is plain text without a token.
type Options struct {
	TLS             bool                   // by TLS, with the system's CAs; implied by the next two
	CAFile          string                 // the CA that signed the server's certificate, PEM
	ServerName      string                 // the name in the certificate, if it is not the address's
	Token           func() (string, error) // asked for every call; nil: none is sent
	AllowPlainToken bool                   // send it in plain text to another machine, too
	StartWithin     time.Duration          // 0: StartWithin
}

// Client is one connection for any number of streams.
type Client struct {
	address    string
	connection *grpc.ClientConn
	service    pb.AffectServiceClient
	options    Options
}

// Dial makes a client. It connects with the first stream, so that a wrong address is told there.
func Dial(address string, options Options) (*Client, error) {
	secure := options.TLS || options.CAFile != "" || options.ServerName != ""
	if options.Token != nil && !secure && !options.AllowPlainToken && !isLoopback(address) {
		return nil, fmt.Errorf("the token would go to %s in plain text: use TLS, or allow it", address)
	}
	if options.StartWithin == 0 {
		options.StartWithin = StartWithin
	}
	security := grpc.WithInsecure()
	if secure {
		config, err := tlsConfig(options)
		if err != nil {
			return nil, err
		}
		security = grpc.WithTransportCredentials(credentials.NewTLS(config))
	}
	// A peer that stops answering without closing is found after both. The server sends away who pings more
	// often than every 5 s.
	alive := grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second})
	connection, err := grpc.Dial(address, security, alive)
	if err != nil {
		return nil, err
	}
	return &Client{address, connection, pb.NewAffectServiceClient(connection), options}, nil
}

// Close ends the connection and every stream on it.
func (c *Client) Close() error {
	return c.connection.Close()
}

func (c *Client) authorized(ctx context.Context) (context.Context, error) {
	if c.options.Token == nil {
		return ctx, nil
	}
	token, err := c.options.Token()
	if err != nil {
		return nil, err
	}
	hidden := func(r rune) bool { return r < 0x21 || r > 0x7e }
	if len(token) == 0 || len(token) > 8192 || strings.IndexFunc(token, hidden) >= 0 {
		return nil, fmt.Errorf("the token must be 1 to 8192 visible ASCII characters")
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token), nil
}

func tlsConfig(options Options) (*tls.Config, error) {
	config := &tls.Config{ServerName: options.ServerName, MinVersion: tls.VersionTLS12}
	if options.CAFile == "" {
		return config, nil
	}
	pem, err := os.ReadFile(options.CAFile)
	if err != nil {
		return nil, err
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: no certificate in PEM", options.CAFile)
	}
	return config, nil
}

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}
