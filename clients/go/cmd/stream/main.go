// Streams a recording, or raw PCM on standard input, and prints what comes back.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"affectstream.dev/client/affectstream"
	pb "affectstream.dev/gen/go/affectstream/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

const usage = `stream [options] --server HOST:PORT FILE.wav|-

The token: $AFFECTSTREAM_TOKEN_FILE, read for every call, or $AFFECTSTREAM_TOKEN.
Exit status: 0 the stream ended well, 1 it did not, 2 wrong usage or input, 130 given up with a second Ctrl-C.
`

var (
	server     = flag.String("server", "", "HOST:PORT of the server")
	rateHz     = flag.Uint("rate", 0, `Hz of raw 16-bit mono PCM on standard input ("-")`)
	speed      = flag.Float64("speed", 1, "1 is real time, 0 as fast as the server takes it")
	frameMs    = flag.Int("frame-ms", 20, "ms of audio in a message, 10 to 1000")
	sessionID  = flag.String("session-id", "", "default: the server makes one")
	basis      = flag.String("consent-basis", "", "consent, contract, legitimate-interest or not-personal; some servers require one")
	asJSON     = flag.Bool("json", false, "one SessionEvent in proto3 JSON a line; else one line for each utterance")
	useTLS     = flag.Bool("tls", false, "connect by TLS; implied by --ca and --server-name")
	ca         = flag.String("ca", os.Getenv("AFFECTSTREAM_CA"), "file with the server's CA, PEM; or $AFFECTSTREAM_CA")
	serverName = flag.String("server-name", os.Getenv("AFFECTSTREAM_SERVER_NAME"), "name in its certificate")
	startS     = flag.Float64("start-s", affectstream.StartWithin.Seconds(), "seconds to connect and to begin the session")
	plainToken = flag.Bool("allow-plain-token", false, "show the token in plain text to another machine")
	analysed   channels
)

// Wrong usage, or input that cannot be read.
type inputError struct{ error }

func main() {
	flag.Var(&analysed, "channel", "a channel to analyse, of a recording with several; may be given again")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	flag.Parse()
	err := run()
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "stream:", err)
	var input inputError
	if errors.As(err, &input) {
		os.Exit(2)
	}
	os.Exit(1)
}

func consentBasis(name string) (pb.ConsentBasis, error) {
	switch name {
	case "":
		return pb.ConsentBasis_CONSENT_BASIS_UNSPECIFIED, nil
	case "consent", "contract", "legitimate-interest", "not-personal":
		known := "CONSENT_BASIS_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		return pb.ConsentBasis(pb.ConsentBasis_value[known]), nil
	}
	return 0, fmt.Errorf("--consent-basis: got %s, expected one of consent, contract, legitimate-interest, not-personal", name)
}

func run() error {
	if flag.NArg() != 1 || *server == "" {
		return inputError{errors.New(`give --server HOST:PORT, and then a FILE or "-"`)}
	}
	if *speed < 0 || *speed > 1000 || *frameMs < 10 || *frameMs > 1000 {
		return inputError{fmt.Errorf("got --speed %g, expected 0 to 1000; --frame-ms %d, expected 10 to 1000", *speed, *frameMs)}
	}
	from, err := openSource(flag.Arg(0))
	if err != nil {
		return inputError{err}
	}
	config := &pb.SessionConfig{SessionId: *sessionID, Audio: from.audio}
	if config.Channels, err = analysed.of(int(from.audio.ChannelCount)); err != nil {
		return inputError{err}
	}
	if config.ConsentBasis, err = consentBasis(*basis); err != nil {
		return inputError{err}
	}
	client, err := affectstream.Dial(*server, affectstream.Options{
		TLS:             *useTLS,
		CAFile:          *ca,
		ServerName:      *serverName,
		Token:           token(),
		AllowPlainToken: *plainToken,
		StartWithin:     time.Duration(*startS * float64(time.Second)),
	})
	if err != nil {
		return inputError{err}
	}
	defer client.Close()
	stream, err := client.Stream(context.Background(), config)
	if err != nil {
		return err
	}
	defer stream.Close()
	sent := make(chan error, 1)
	go func() { sent <- send(stream, from, interrupts()) }()
	for {
		event, err := stream.Receive()
		if err == io.EOF {
			return <-sent
		}
		if err != nil {
			return err
		}
		if err = show(event); err != nil {
			return err
		}
	}
}

// Frame i is due at its own time, whatever became of those before: a slow server does not slow the talk down.
func send(stream *affectstream.Stream, from *source, stopped *atomic.Bool) error {
	began := time.Now()
	frame := make([]byte, from.size(*frameMs))
	for i := 0; !stopped.Load(); i++ {
		read, err := io.ReadFull(from, frame)
		if rest := read % from.frameBytes; rest != 0 {
			stream.End()
			return inputError{fmt.Errorf("the input ended within a sample: one has %d bytes", from.frameBytes)}
		}
		if read > 0 {
			if *speed > 0 {
				due := float64(i**frameMs) / *speed * float64(time.Millisecond)
				time.Sleep(time.Until(began.Add(time.Duration(due))))
			}
			if sendErr := stream.Send(frame[:read]); sendErr != nil {
				return nil // the call is over, and Receive says why
			}
		}
		if err != nil {
			break
		}
	}
	stream.End()
	return nil
}

// The first Ctrl-C ends the audio, and what was said is still scored; the second gives up.
func interrupts() *atomic.Bool {
	var stopped atomic.Bool
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt)
	go func() {
		<-signals
		stopped.Store(true)
		<-signals
		os.Exit(130)
	}()
	return &stopped
}

func show(event *pb.SessionEvent) error {
	if *asJSON {
		if started := event.GetSessionStarted(); started != nil {
			started.ResumeToken = nil // a secret
		}
		text, err := protojson.Marshal(event)
		if err != nil {
			return err
		}
		var line bytes.Buffer // protojson puts spaces in by chance
		if err = json.Compact(&line, text); err != nil {
			return err
		}
		_, err = fmt.Println(line.String())
		return err
	}
	if warning := event.GetWarning(); warning != nil {
		fmt.Fprintf(os.Stderr, "stream: warning %s: %s\n", warning.Code, warning.Message)
	}
	affect := event.GetAffect()
	if affect.GetStage() != pb.Stage_STAGE_FINAL {
		return nil
	}
	start, end := affect.AudioStart.AsDuration(), affect.AudioEnd.AsDuration()
	_, err := fmt.Printf("%.3fs %.3fs %s", start.Seconds(), end.Seconds(), affect.TopLabel)
	if dimensions := affect.Dimensions; dimensions != nil && dimensions.Arousal != nil {
		fmt.Printf(" arousal %.2f", *dimensions.Arousal)
	}
	fmt.Println("", affect.Status)
	return err
}

func openSource(name string) (*source, error) {
	if name == "-" {
		if *rateHz == 0 {
			return nil, errors.New("raw PCM on standard input needs --rate, such as: --rate 16000")
		}
		return raw(os.Stdin, *rateHz), nil
	}
	if *rateHz != 0 {
		return nil, errors.New("--rate is for raw PCM; a recording says it itself")
	}
	return wav(name)
}

func token() func() (string, error) {
	if file := os.Getenv("AFFECTSTREAM_TOKEN_FILE"); file != "" {
		return func() (string, error) {
			text, err := os.ReadFile(file)
			return strings.TrimSpace(string(text)), err
		}
	}
	if text := strings.TrimSpace(os.Getenv("AFFECTSTREAM_TOKEN")); text != "" {
		return func() (string, error) { return text, nil }
	}
	return nil
}

// Those that are to be analysed.
type channels []int

func (c *channels) String() string { return "" }

func (c *channels) Set(text string) error {
	index, err := strconv.Atoi(text)
	*c = append(*c, index)
	return err
}

func (c channels) of(count int) ([]*pb.ChannelConfig, error) {
	if count == 1 {
		return nil, nil
	}
	all := make([]*pb.ChannelConfig, count)
	for index := range all {
		all[index] = &pb.ChannelConfig{Index: uint32(index)}
	}
	for _, index := range c {
		if index < 0 || index >= count {
			return nil, fmt.Errorf("--channel: got %d, expected 0 to %d", index, count-1)
		}
		all[index].Analyze = true
	}
	if len(c) == 0 {
		return nil, fmt.Errorf("the recording has %d channels: say which to analyse, such as --channel 0", count)
	}
	return all, nil
}
