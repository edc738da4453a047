// Package jsonlines lets a peer take commands as JSON lines and answer each with one line.
package jsonlines

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// Answer is one line of output; it gets the "id" of its command.
type Answer map[string]any

// Serve prints hello, then carries out what comes on standard input until that ends.
//
// A command is an object with "id", "command" and the fields of C, a struct. Commands run side by
// side, so answers may change places.
func Serve[C any](
	ctx context.Context, hello Answer, do func(context.Context, string, C) (Answer, error),
) error {
	out := &lines{to: json.NewEncoder(os.Stdout)}
	out.write(hello)
	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var head struct {
			ID      int    `json:"id"`
			Command string `json:"command"`
		}
		var fields C
		if err := errors.Join(json.Unmarshal(line, &head), json.Unmarshal(line, &fields)); err != nil {
			out.write(Answer{"error": "not a command: " + err.Error()})
			continue
		}
		go func() {
			reply, err := do(ctx, head.Command, fields)
			if err != nil {
				reply = Answer{"error": err.Error()}
			}
			reply["id"] = head.ID
			out.write(reply)
		}()
	}
}

// lines writes one JSON value per line for many goroutines.
type lines struct {
	mutex sync.Mutex
	to    *json.Encoder
}

func (l *lines) write(value Answer) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if err := l.to.Encode(value); err != nil {
		fmt.Fprintln(os.Stderr, "answer lost:", err)
	}
}
