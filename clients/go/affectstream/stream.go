package affectstream

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	pb "affectstream.dev/gen/go/affectstream/v1"
)

// Stream is one call. Send from one goroutine and receive in another at the same time.
type Stream struct {
	Started *pb.SessionStarted // what is in force

	address string
	call    pb.AffectService_StreamAffectClient
	first   *pb.SessionEvent
	cancel  context.CancelFunc
	closed  bool

	mutex sync.Mutex
	timer *time.Timer
	late  string
	ended bool
}

// Stream begins a session, and returns when the server has said that it has begun.
func (c *Client) Stream(ctx context.Context, config *pb.SessionConfig) (*Stream, error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &Stream{address: c.address, cancel: cancel}
	err := s.open(ctx, c, config)
	if err != nil {
		s.Close()
		return nil, s.explain(err)
	}
	return s, nil
}

func (s *Stream) open(ctx context.Context, c *Client, config *pb.SessionConfig) error {
	s.expect(c.options.StartWithin, "no session_started")
	ctx, err := c.authorized(ctx)
	if err != nil {
		return err
	}
	if s.call, err = c.service.StreamAffect(ctx); err != nil {
		return err
	}
	request := &pb.StreamAffectRequest{Request: &pb.StreamAffectRequest_Config{Config: config}}
	if err = s.call.Send(request); err != nil && err != io.EOF {
		return err // io.EOF: the status comes from Recv
	}
	response, err := s.call.Recv()
	if err != nil {
		return err
	}
	s.expect(0, "")
	s.first, s.Started = response.Event, response.Event.GetSessionStarted()
	s.address = "" // what ends the call from here on is no fault of connecting
	return nil
}

// Send gives some audio: at most 1 s and 64 KiB. It returns when the transport has room for it: HTTP/2 lets
// the server hold its callers back. io.EOF: the call is over, and Receive says why.
func (s *Stream) Send(data []byte) error {
	chunk := &pb.AudioChunk{Data: data}
	return s.call.Send(&pb.StreamAffectRequest{Request: &pb.StreamAffectRequest_Audio{Audio: chunk}})
}

// End says that all audio was sent. A half-close alone would abandon the session.
func (s *Stream) End() error {
	end := &pb.Control{Control: &pb.Control_EndOfAudio{EndOfAudio: &pb.EndOfAudio{}}}
	err := s.call.Send(&pb.StreamAffectRequest{Request: &pb.StreamAffectRequest_Control{Control: end}})
	if err != nil {
		return err
	}
	s.mutex.Lock()
	s.ended = true
	s.mutex.Unlock()
	s.expect(IdleWithin, "no event after the end of audio")
	return s.call.CloseSend()
}

// Receive gives the next event; session_started is the first. io.EOF: the session ended well.
func (s *Stream) Receive() (*pb.SessionEvent, error) {
	if first := s.first; first != nil {
		s.first = nil
		return first, nil
	}
	response, err := s.call.Recv()
	if err == io.EOF && s.closed {
		return nil, err
	}
	if err != nil {
		return nil, s.explain(err)
	}
	s.mutex.Lock()
	ended := s.ended
	s.mutex.Unlock()
	if ended {
		s.expect(IdleWithin, "no event after the end of audio")
	}
	if response.Event.GetSessionClosed() != nil {
		s.closed = true
	}
	return response.Event, nil
}

// Close ends the call. Without End before, the utterance that is open gets no final.
func (s *Stream) Close() {
	s.expect(0, "")
	s.cancel()
}

// The call is cancelled when `what` lasts longer. 0: no limit.
func (s *Stream) expect(within time.Duration, what string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	if within == 0 {
		return
	}
	s.timer = time.AfterFunc(within, func() {
		s.mutex.Lock()
		s.late = fmt.Sprintf("%s within %g s", what, within.Seconds())
		s.mutex.Unlock()
		s.cancel()
	})
}

func (s *Stream) explain(err error) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.late != "" {
		return &Error{Status: "DEADLINE_EXCEEDED", Message: s.late}
	}
	return explain(err, s.address)
}
