package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"

	pb "affectstream.dev/gen/go/affectstream/v1"
)

// Audio, and how it is written.
type source struct {
	io.Reader
	audio      *pb.AudioFormat
	frameBytes int // of one sample of every channel
}

// Bytes of a message of this length, never less than a sample.
func (s *source) size(frameMs int) int {
	frames := int(s.audio.SampleRateHz) * frameMs / 1000
	if frames < 1 {
		frames = 1
	}
	return frames * s.frameBytes
}

var encodings = map[string]pb.AudioEncoding{
	"1/16": pb.AudioEncoding_AUDIO_ENCODING_LINEAR16,
	"3/32": pb.AudioEncoding_AUDIO_ENCODING_FLOAT32,
	"6/8":  pb.AudioEncoding_AUDIO_ENCODING_ALAW,
	"7/8":  pb.AudioEncoding_AUDIO_ENCODING_MULAW,
}

// Raw LINEAR16 of one channel.
func raw(reader io.Reader, rateHz uint) *source {
	encoding := pb.AudioEncoding_AUDIO_ENCODING_LINEAR16
	return &source{reader, &pb.AudioFormat{Encoding: encoding, SampleRateHz: uint32(rateHz), ChannelCount: 1}, 2}
}

// A WAV file of 16-bit, float, A-law or μ-law samples. Nothing is converted.
func wav(path string) (*source, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	riff := make([]byte, 12)
	if _, err = io.ReadFull(file, riff); err != nil || string(riff[:4]) != "RIFF" || string(riff[8:]) != "WAVE" {
		return nil, fmt.Errorf("%s: no WAV file", path)
	}
	var found *source
	for {
		head := make([]byte, 8)
		if _, err = io.ReadFull(file, head); err != nil {
			return nil, fmt.Errorf("%s: no WAV file with audio", path)
		}
		name, size := string(head[:4]), int64(binary.LittleEndian.Uint32(head[4:]))
		switch {
		case name == "data" && found != nil:
			found.Reader = io.LimitReader(file, size-size%int64(found.frameBytes))
			return found, nil
		case name == "fmt " && size <= 64:
			chunk := make([]byte, size+size%2)
			if _, err = io.ReadFull(file, chunk); err != nil {
				return nil, fmt.Errorf("%s: no WAV file with audio", path)
			}
			if found, err = format(chunk, path); err != nil {
				return nil, err
			}
		default:
			if _, err = file.Seek(size+size%2, io.SeekCurrent); err != nil {
				return nil, err
			}
		}
	}
}

func format(chunk []byte, path string) (*source, error) {
	var is struct {
		Tag, Channels            uint16
		RateHz, BytesPerS        uint32
		Align, Bits, Extra, Used uint16
		Mask                     uint32
		Real                     uint16
	}
	padded := append(append([]byte{}, chunk...), make([]byte, 40)...)
	if err := binary.Read(bytes.NewReader(padded), binary.LittleEndian, &is); err != nil {
		return nil, err
	}
	if is.Tag == 0xfffe { // WAVE_FORMAT_EXTENSIBLE has the real one behind
		is.Tag = is.Real
	}
	encoding, known := encodings[fmt.Sprintf("%d/%d", is.Tag, is.Bits)]
	if !known {
		return nil, fmt.Errorf("%s: got format %d with %d bits, expected 16-bit, float, A-law or μ-law", path, is.Tag, is.Bits)
	}
	if is.Channels == 0 {
		return nil, fmt.Errorf("%s: got 0 channels, expected 1 or more", path)
	}
	audio := &pb.AudioFormat{Encoding: encoding, SampleRateHz: is.RateHz, ChannelCount: uint32(is.Channels)}
	return &source{nil, audio, int(is.Channels) * int(is.Bits) / 8}, nil
}
