package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
)

type object map[string]any

// event is the part of a CloudEvent that this example looks at; a reader ignores what it does not know.
type event struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Subject string `json:"subject"`
	Data    struct {
		GroupID string `json:"group_id"`
		Pages   int    `json:"pages"`
	} `json:"data"`
}

// enqueueAll creates a group, waits for its id, and does the rest with it.
func enqueueAll(client redis.Conn) error {
	if err := createConsumerGroup(client); err != nil {
		return err
	}
	replyTo := group + "-" + uuid()
	create := object{"channel": "sms", "name": "Example " + replyTo, "reply_to": replyTo}
	if err := enqueue(client, "groups", "create_group", create); err != nil {
		return err
	}
	answer, err := waitForAnswer(client, replyTo)
	if err != nil {
		return err
	}
	groupID := answer.Data.GroupID
	if answer.Type != "coupontools.group.created" {
		return errors.New("the group was not created: " + answer.Type)
	}
	for _, job := range []struct {
		queue, actor string
		arguments    object
	}{
		{"contacts", "add_contact", object{"channel": "sms", "group_id": groupID, "phone": "+32470123456", "first_name": "Ada"}},
		{"reads", "list_groups", object{"channel": "sms"}},
		{"reads", "list_contacts", object{"channel": "sms", "group_id": groupID}},
		{"webhooks", "verify_webhook", object{"payload": object{"id": "evt_" + uuid(), "type": "coupon_validated"}}},
	} {
		if err := enqueue(client, job.queue, job.actor, job.arguments); err != nil {
			return err
		}
	}
	return nil
}

// createConsumerGroup comes before the first job: "$" is the end of the stream at this moment, so no answer is in its past.
func createConsumerGroup(client redis.Conn) error {
	_, err := client.Do("XGROUP", "CREATE", stream, group, "$", "MKSTREAM")
	if err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP") {
		return err
	}
	return nil
}

// enqueue prints the job's message id, by which its answer is found.
func enqueue(client redis.Conn, queue, actor string, arguments object) error {
	entry, messageID := uuid(), uuid()
	message, err := json.Marshal(object{
		"queue_name":        queue,
		"actor_name":        actor,
		"args":              []any{}, // a nil slice would be written as null
		"kwargs":            arguments,
		"options":           object{"redis_message_id": entry},
		"message_id":        messageID,
		"message_timestamp": time.Now().UnixMilli(),
	})
	if err != nil {
		return err
	}
	// In one MULTI: neither stands there without the other. An error of these three is told by EXEC.
	client.Send("MULTI")
	client.Send("HSET", "dramatiq:"+queue+".msgs", entry, message)
	client.Send("RPUSH", "dramatiq:"+queue, entry)
	if _, err := client.Do("EXEC"); err != nil {
		return err
	}
	fmt.Println(messageID)
	return nil
}

// waitForAnswer returns the event that answers the job with this `reply_to`.
func waitForAnswer(client redis.Conn, replyTo string) (answer event, err error) {
	reply, err := redis.ByteSlices(client.Do("BLPOP", "coupontools:reply:"+replyTo, 30))
	if errors.Is(err, redis.ErrNil) {
		return answer, errors.New("no answer within 30 s: does a worker run?")
	}
	if err != nil {
		return answer, err
	}
	return answer, json.Unmarshal(reply[1], &answer)
}
