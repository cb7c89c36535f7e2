package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
)

const (
	// What one process has not acknowledged after so many milliseconds, another takes over. Choose more than your slowest event takes.
	idle = 2000
	// How long an event's id is remembered, in seconds: longer than anybody could take it over.
	remembered = 7 * 86400
)

// read ends when every job is answered; a listing is when all of its pages have come.
func read(client redis.Conn, process, file string, crash bool) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	waiting := map[string]map[string]bool{}
	for _, messageID := range strings.Fields(string(text)) {
		waiting[messageID] = map[string]bool{}
	}
	giveUp := time.Now().Add(45 * time.Second)
	for len(waiting) > 0 {
		if time.Now().After(giveUp) {
			return fmt.Errorf("not answered within 45 s: %v; does a worker run?", waiting)
		}
		entries, err := entries(client, process)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			var event event
			if err := json.Unmarshal(entry.text, &event); err != nil {
				return err
			}
			messageID, page, _ := strings.Cut(event.ID, "/")
			if pages, ours := waiting[messageID]; ours {
				isNew, err := handle(client, event.ID, entry.text)
				if err != nil {
					return err
				}
				told := "handled before, dropped"
				if isNew {
					told = "new"
				}
				fmt.Printf("%s: %s %s (%s)\n", process, event.Type, event.Subject, told)
				if crash {
					die()
				}
				pages[page] = true
				if len(pages) >= event.Data.Pages {
					delete(waiting, messageID)
				}
			}
			if _, err := client.Do("XACK", stream, group, entry.id); err != nil {
				return err
			}
		}
	}
	return nil
}

type entry struct {
	id   string
	text []byte
}

// entries returns what others left unacknowledged, then what is new.
func entries(client redis.Conn, process string) ([]entry, error) {
	claimed, err := redis.Values(client.Do("XAUTOCLAIM", stream, group, process, idle, "0-0", "COUNT", 100))
	if err != nil {
		return nil, err
	}
	found, err := parse(nil, claimed[1])
	if err != nil {
		return nil, err
	}
	streams, err := redis.Values(client.Do("XREADGROUP", "GROUP", group, process, "COUNT", 100, "BLOCK", 1000, "STREAMS", stream, ">"))
	if errors.Is(err, redis.ErrNil) {
		return found, nil
	}
	if err != nil {
		return nil, err
	}
	named, err := redis.Values(streams[0], nil)
	if err != nil {
		return nil, err
	}
	return parse(found, named[1])
}

// parse appends a reply's entries: [id, [field, value, ...]].
func parse(found []entry, reply any) ([]entry, error) {
	rows, err := redis.Values(reply, nil)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		// The stream's cap may have cut an entry off that was pending: Redis 6 tells it as nil.
		if row == nil {
			continue
		}
		parts, err := redis.Values(row, nil)
		if err != nil {
			return nil, err
		}
		id, err := redis.String(parts[0], nil)
		if err != nil {
			return nil, err
		}
		fields, err := redis.StringMap(parts[1], nil)
		if err != nil {
			return nil, err
		}
		found = append(found, entry{id, []byte(fields["event"])})
	}
	return found, nil
}

// handle does the work, unless it was done before, and returns whether it was new.
//
// Here the work is to keep the event. Where yours is a change in a database, insert the event's id there in the same transaction.
func handle(client redis.Conn, id string, text []byte) (bool, error) {
	_, err := redis.String(client.Do("SET", group+":event:"+id, text, "NX", "EX", remembered))
	if errors.Is(err, redis.ErrNil) {
		return false, nil
	}
	return err == nil, err
}

func die() {
	if process, err := os.FindProcess(os.Getpid()); err == nil {
		process.Kill()
	}
	select {}
}
