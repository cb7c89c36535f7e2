/* listing.pml: the pages of a listing that are too many for one step, as claim.lua and settle.lua write them. `make prove` checks it whole.

   A listing changes nothing, so it may be read again. But its pages are told under the same event ids each time, and a reader who drops
   repeats must not be left with pages of two listings. Two workers, two messages of one key; each page is a batch of its own, and one step
   writes one page. As in ledger.pml a script ends after any of its writes where `cuts` allows it, and whoever ran it runs it again: a CUT
   after the last write is a reply that was lost. Each listing that is read has a number. KILLS, TAKEOVERS, FREEZES (a lease of a
   living worker ends) and CUTS say how often each fault may strike; FORGOTTEN, that the listing is too long to be remembered. LIVE adds
   that everything is answered in the end. Three other ways to do it break the promise: AT_ONCE writes each page as it is read, JUMP lets
   the other message list while the pages of the first are being written, and FORGETFUL takes a claim that is repeated for one that calls. */

#define M 2                    /* messages, of which M is none */
#define N 3                    /* pages of every listing */
#define NOBODY 0
#define DIED 255               /* the token of a claim that no one writes under again */
#define QUEUE 2                /* who has a message in hand: a worker, or the queue, or nobody any more */
#define ACKED 3
#define ME (w + 1)

mtype = { absent, running, done };                            /* states of the record; a listing that waits is as good as absent */
mtype = { not_answered, owing, given };                       /* answered.lua */
mtype = { gone, answered, replay, call, busy, stands };       /* claim's words */
mtype = { idle, claiming, readying, writing, replaying };     /* what a worker does */

mtype state = absent;
byte token = NOBODY, telling = M;      /* whose claim it is, and the message whose pages all stand ready */
bool lease = false;
byte batch_by, batch, kept_by, kept;   /* the batch that was made ready, and remembered, last: by which token, and how many there are with it */
byte staged, next, ready;              /* what stands ready: the listing, its next page to be written, and how many pages of it */
byte pages, remembered;                /* what a replay answers: the listing, and how many pages of it */

byte holder[M] = QUEUE, owing_by[M];
mtype answer[M] = not_answered;
bool owing_replay[M];
byte whose[M], written[M];     /* the listing whose pages the stream holds for this message, and how many */

mtype phase[2] = idle;
byte at[2], mine[2], made[2];  /* the message in hand, the number of the listing, and how many of its pages were made ready */
byte listings, turn, kills = KILLS, takeovers = TAKEOVERS, freezes = FREEZES, cuts = CUTS;
bool cut, ours, more;
mtype word;

#define CUT if :: !cut && cuts > 0 -> cuts--; cut = true :: true fi

/* The promise: each page once, in order, all from one listing; and all of them before the message has its answer. */
inline tell(m, listing, page) {
  assert(page == written[m] && (page == 0 || listing == whose[m]));
  whose[m] = listing; written[m]++
}
inline give(m) {
  if :: owing_replay[m] -> assert(remembered == N && written[m] == 0); whose[m] = pages; written[m] = N :: else fi;
  assert(written[m] == N);
  answer[m] = given
}
inline heed_answer(w, m) { if :: answer[m] == owing && owing_by[m] != ME -> give(m) :: else fi }
inline acknowledge(w, m) { if :: holder[m] == w -> holder[m] = ACKED :: else fi }

inline claim(w, m) {           /* claim.lua; sets `word` */
  cut = false;
  if :: holder[m] == w -> heed_answer(w, m) :: else fi;
  if
  :: holder[m] != w -> word = gone
  :: holder[m] == w && answer[m] == given -> acknowledge(w, m); word = answered
  :: holder[m] == w && answer[m] != given && state == done -> word = replay
#ifdef FORGETFUL
  :: holder[m] == w && answer[m] != given && state == running && token == ME -> word = call
#else
  :: holder[m] == w && answer[m] != given && state == running && token == ME -> word = (telling == m -> stands : call)
#endif
  :: holder[m] == w && answer[m] != given && state == running && token != ME && lease -> holder[m] = QUEUE; word = busy
  :: holder[m] == w && answer[m] != given && state == running && token != ME && !lease && telling == m ->
     token = ME; lease = true;
     CUT;
     word = stands
#ifndef JUMP
  :: holder[m] == w && answer[m] != given && state == running && token != ME && !lease && telling == 1 - m && holder[1 - m] != ACKED ->
     holder[m] = QUEUE; word = busy
#endif
  :: else ->
     state = running; token = ME; lease = true; telling = M;
     CUT;
     word = call
  fi
}

inline make_ready(w, m, page) {         /* settle.lua, op `pages`; sets `ours` */
  cut = false;
  heed_answer(w, m);
  ours = answer[m] == given || token == ME;
  if
  :: answer[m] == given -> acknowledge(w, m)
  :: answer[m] != given && ours -> lease = true; CUT
  :: else
  fi;
#ifndef FORGOTTEN
  if
  :: !cut && token == ME && !(kept_by == ME && kept == page + 1) ->
     if :: page == 0 -> pages = 0; remembered = 0; CUT :: else fi;
     if :: !cut -> assert(remembered == page); pages = mine[w]; remembered++; kept_by = ME; kept = page + 1; CUT :: else fi
  :: else
  fi;
#endif
  if
  :: !cut && token == ME && !(batch_by == ME && batch == page + 1) ->
     if :: page == 0 -> staged = 0; next = 0; ready = 0; CUT :: else fi;
#ifdef AT_ONCE
     if :: !cut -> tell(m, mine[w], page) :: else fi;
#else
     if :: !cut -> assert(ready == page); staged = mine[w]; ready++ :: else fi;
#endif
     if :: !cut -> batch_by = ME; batch = page + 1; CUT :: else fi
  :: else
  fi
}

inline finish(w, m, replays) {          /* settle.lua, op `done` of pages that stand ready, or op `replay`; sets `ours` and `more` */
  cut = false; more = false;
  heed_answer(w, m);
  bool owns = !replays && token == ME;
  ours = answer[m] != not_answered || owns || replays;
  if
  :: answer[m] == given -> acknowledge(w, m)
  :: answer[m] != given && ours ->
     if
     :: owns ->
        telling = m; lease = true;
        CUT;
        if :: !cut && next < ready -> tell(m, staged, next); next++ :: else fi;
        more = next < ready;
        CUT
     :: else
     fi;
     if :: !cut && !more -> answer[m] = owing; owing_by[m] = ME; owing_replay[m] = replays; CUT :: else fi;
#ifndef FORGOTTEN
     if :: !cut && !more && owns -> state = done; CUT :: else fi;
#endif
     if :: !cut && !more -> give(m); CUT :: else fi;
     if
     :: !cut && !more && owns ->
        if :: state == running -> state = absent :: else fi;
        token = NOBODY; lease = false; telling = M; batch_by = NOBODY; batch = 0; kept_by = NOBODY; kept = 0; staged = 0; next = 0; ready = 0;
        CUT
     :: else
     fi;
     if :: !cut && !more -> acknowledge(w, m); CUT :: else fi
  :: else
  fi;
  owns = false
}

inline forget_token(w) {       /* the next claim of this worker has another */
  if :: token == ME -> token = DIED :: else fi;
  if :: batch_by == ME -> batch_by = DIED :: else fi;
  if :: kept_by == ME -> kept_by = DIED :: else fi;
  if :: owing_by[0] == ME -> owing_by[0] = DIED :: else fi;
  if :: owing_by[1] == ME -> owing_by[1] = DIED :: else fi;
  mine[w] = 0; made[w] = 0
}
inline rest(w) { forget_token(w); phase[w] = idle; at[w] = 0 }
inline go_on(w) { if :: ours -> rest(w) :: else -> forget_token(w); phase[w] = claiming fi }
inline hand_back(w) { if :: holder[0] == w -> holder[0] = QUEUE :: holder[1] == w -> holder[1] = QUEUE :: else fi }

#ifdef LIVE
#define IN_TURN(m) (turn == m || holder[1 - m] != QUEUE)      /* a queue passes nobody over for ever */
#else
#define IN_TURN(m) true
#endif
inline fetch(w, m) { holder[m] = w; turn = 1 - m; at[w] = m; phase[w] = claiming }

proctype worker(byte w) {
end:
  do
  :: atomic { phase[w] == idle && holder[0] == QUEUE && IN_TURN(0) -> fetch(w, 0) }
  :: atomic { phase[w] == idle && holder[1] == QUEUE && IN_TURN(1) -> fetch(w, 1) }
  :: atomic { phase[w] == claiming ->
     claim(w, at[w]);
     printf("worker %d claims for message %d: %e\n", w, at[w], word);
     if
     :: cut                    /* it is repeated, under the same token */
     :: !cut && word == call -> listings++; mine[w] = listings; phase[w] = readying
     :: !cut && word == stands -> phase[w] = writing
     :: !cut && word == replay -> phase[w] = replaying
     :: !cut && (word == gone || word == answered || word == busy) -> rest(w)
     fi }
  :: atomic { phase[w] == readying ->
     make_ready(w, at[w], made[w]);
     printf("worker %d makes page %d of listing %d ready\n", w, made[w], mine[w]);
     if
     :: cut
     :: !cut && !ours -> go_on(w)
     :: !cut && ours -> made[w]++; if :: made[w] == N -> phase[w] = writing :: else fi
     fi }
  :: atomic { phase[w] == writing || phase[w] == replaying ->
     finish(w, at[w], (phase[w] == replaying));
     printf("worker %d writes for message %d, of which %d pages stand in the stream\n", w, at[w], written[at[w]]);
     if :: cut || more :: else -> go_on(w) fi }
  :: atomic { kills > 0 && phase[w] != idle -> kills--; printf("worker %d dies\n", w); hand_back(w); rest(w) }
  /* A worker that is frozen, or slow, is believed dead. */
  :: atomic { takeovers > 0 && phase[w] != idle -> takeovers--; printf("worker %d is believed dead\n", w); hand_back(w) }
  od
}

proctype time() {
end:
  do
  :: atomic { lease && (token == DIED || freezes > 0) ->
     if :: token != DIED -> freezes-- :: else fi; printf("the lease ends\n"); lease = false }
  od
}

init { atomic { run worker(0); run worker(1); run time() } }

#ifdef LIVE
ltl answered_in_the_end { <> (answer[0] == given && answer[1] == given) }
#endif
