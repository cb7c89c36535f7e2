#!/bin/sh
# Read the answers to the jobs in a file of message ids, as one process of a consumer group.
#
#     sh read.sh PROCESS FILE           until every job is answered
#     sh read.sh PROCESS FILE --crash   and die between doing the work of the first answer and acknowledging it
set -eu

stream=coupontools:events
group=example-redis-cli
# What one process has not acknowledged after so many milliseconds, another takes over. Choose more than your slowest event takes.
idle=2000
# How long an event's id is remembered, in seconds: longer than anybody could take it over.
remembered=604800

process=$1
file=$2
flag=${3:-}

# -e: an error of Redis is an error of the command.
cli() {
    redis-cli -u "$REDIS_URL" -e --raw "$@"
}

# Prints one entry as six lines (its id in the second, its event in the sixth), or less if there is none:
# what another process left unacknowledged, else what is new.
next_entry() {
    left=$(cli XAUTOCLAIM "$stream" "$group" "$process" "$idle" 0-0 COUNT 1)
    # The stream's cap may have cut an entry off that was pending: it comes without an event.
    case $left in
        *'"specversion"'*) printf '%s\n' "$left" ;;
        *) cli XREADGROUP GROUP "$group" "$process" COUNT 1 BLOCK 1000 STREAMS "$stream" '>' ;;
    esac
}

# Prints an event's id, type, subject and number of pages, a line each. Redis has a parser for JSON, and a shell has none.
parts() {
    cli EVAL 'local e = cjson.decode(ARGV[1]) return {e.id, e.type, e.subject or "", tostring(e.data.pages or 1)}' 0 "$1"
}

# handle ID EVENT: does the work, unless it was done before, and prints which.
# Here the work is to keep the event. Where yours is a change in a database, insert the event's id there in the same transaction.
handle() {
    if [ "$(cli SET "$group:event:$1" "$2" NX EX "$remembered")" = OK ]; then
        echo new
    else
        echo "handled before, dropped"
    fi
}

# Prints the lines of a file but for one.
without() {
    sed "\|^$1\$|d" "$2"
}

waiting=$file.$process
trap 'rm -f "$waiting" "$waiting.new"' EXIT
# A line for each answer that is still to come: a job's message id, or the pages of its listing.
cat "$file" > "$waiting"
give_up=$(($(date +%s) + 45))
while [ -s "$waiting" ]; do
    if [ "$(date +%s)" -gt "$give_up" ]; then
        echo "not answered within 45 s: $(tr '\n' ' ' < "$waiting"); does a worker run?" >&2
        exit 1
    fi
    lines=$(next_entry)
    entry=$(printf '%s\n' "$lines" | sed -n 2p)
    event=$(printf '%s\n' "$lines" | sed -n 6p)
    [ -n "$event" ] || continue
    lines=$(parts "$event")
    id=$(printf '%s\n' "$lines" | sed -n 1p)
    pages=$(printf '%s\n' "$lines" | sed -n 4p)
    message_id=${id%%/*}
    if grep -qx -e "$message_id" -e "$id" "$waiting"; then
        echo "$process: $(printf '%s\n' "$lines" | sed -n 2,3p | tr '\n' ' ')($(handle "$id" "$event"))"
        if [ "$flag" = --crash ]; then
            kill -9 $$
        fi
        if [ "$id" != "$message_id" ] && grep -qx -e "$message_id" "$waiting"; then
            # The first page that comes tells how many there are.
            without "$message_id" "$waiting" > "$waiting.new"
            page=0
            while [ "$page" -lt "$pages" ]; do
                page=$((page + 1))
                echo "$message_id/$page" >> "$waiting.new"
            done
            mv "$waiting.new" "$waiting"
        fi
        without "$id" "$waiting" > "$waiting.new"
        mv "$waiting.new" "$waiting"
    fi
    cli XACK "$stream" "$group" "$entry" > /dev/null
done
