// Enqueue all five jobs, and read their answers as one process of a consumer group.
//
//	example enqueue                    prints the message ids
//	example read PROCESS FILE          reads until every job in the file of message ids is answered
//	example read PROCESS FILE --crash  and dies between doing the work of the first answer and acknowledging it
package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"github.com/gomodule/redigo/redis"
)

const (
	stream = "coupontools:events"
	group  = "example-go"
)

var errUsage = errors.New("usage: example enqueue, or example read PROCESS FILE [--crash]")

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	client, err := redis.DialURL(os.Getenv("REDIS_URL"))
	if err != nil {
		return err
	}
	defer client.Close()
	switch {
	case len(arguments) == 1 && arguments[0] == "enqueue":
		return enqueueAll(client)
	case len(arguments) >= 3 && arguments[0] == "read":
		crash := len(arguments) > 3 && arguments[3] == "--crash"
		return read(client, arguments[1], arguments[2], crash)
	}
	return errUsage
}

func uuid() string {
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		panic(err)
	}
	return hex.EncodeToString(id)
}
