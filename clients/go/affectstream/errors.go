package affectstream

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const domain = "affectstream.dev"

// Error says why a call ended. Every part but Status and Message may be empty.
type Error struct {
	Status  string // of gRPC, such as INVALID_ARGUMENT
	Reason  string // stable, upper case; empty: no Affectstream server said so
	Message string
	Field   string
	Value   string
	Limit   string
	// After which a retry helps, where the server says so.
	RetryAfter time.Duration
}

// Error is one line for people, with everything that is known.
func (e *Error) Error() string {
	var known []string
	for _, part := range [][2]string{{"reason", e.Reason}, {"field", e.Field}, {"value", e.Value}, {"limit", e.Limit}} {
		if part[1] != "" {
			known = append(known, part[0]+": "+part[1])
		}
	}
	if e.RetryAfter > 0 {
		known = append(known, fmt.Sprintf("retry after: %g s", e.RetryAfter.Seconds()))
	}
	text := e.Status + ": " + strings.Join(strings.Fields(e.Message), " ")
	if len(known) > 0 {
		text += " (" + strings.Join(known, ", ") + ")"
	}
	return text
}

// Text of a proxy or a library can hold anything: of what no Affectstream server explained, this is said.
var plain = map[codes.Code]string{
	codes.Canceled:          "the call was cancelled",
	codes.DeadlineExceeded:  "the server did not answer in time",
	codes.ResourceExhausted: "a message was too large, or the server has no room for this call",
	codes.Unauthenticated:   "the server did not accept the credentials",
	codes.Unavailable:       "the connection to the server was lost",
	codes.Unimplemented:     "this server does not serve that call",
}

var causes = [][2]string{
	{"connection refused", "connection refused"},
	{"no such host", "no such host name"},
	{"produced zero addresses", "no such host name"},
	{"certificate signed by unknown authority", "its certificate is of a CA that is not trusted here"},
	{"certificate has expired", "its certificate has expired"},
	{"certificate is valid for", "its certificate is for another name"},
	{"first record does not look like a TLS handshake", "it does not speak TLS"},
	{"handshake", "the secure handshake failed"},
	{"i/o timeout", "no answer"},
}

// The error for what gRPC gave; others pass as they are. `address` is where the server was looked for, as long
// as nothing came from there.
func explain(err error, address string) error {
	if err == io.EOF {
		return &Error{Status: "UNAVAILABLE", Message: "the call ended before the session"}
	}
	var ours *Error
	found, isStatus := status.FromError(err)
	if errors.As(err, &ours) || !isStatus {
		return err
	}
	told := &Error{Status: code.Code(found.Code()).String()}
	for _, detail := range found.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if detail.Domain == domain {
				told.Reason, told.Message = detail.Reason, found.Message()
				told.Field, told.Value, told.Limit = detail.Metadata["field"], detail.Metadata["value"], detail.Metadata["limit"]
			}
		case *errdetails.RetryInfo:
			delay := detail.GetRetryDelay()
			told.RetryAfter = time.Duration(delay.GetSeconds())*time.Second + time.Duration(delay.GetNanos())
		}
	}
	if told.Reason == "" {
		told.Message = described(found, address)
	}
	return told
}

func described(found *status.Status, address string) string {
	if address != "" && found.Code() == codes.Unavailable {
		for _, cause := range causes {
			if strings.Contains(found.Message(), cause[0]) {
				return "no connection to " + address + ": " + cause[1]
			}
		}
	}
	if text := plain[found.Code()]; text != "" {
		return text
	}
	return "the server failed"
}
