// Live updates: everything else works without this file.
"use strict";

// How long the server may send nothing before it counts as lost, in milliseconds. It sends once a second, but a look at a Redis that hangs
// takes five seconds.
const SILENCE = 12000;

function watch(place) {
  const state = place.querySelector("[data-live-state]");
  const time = place.querySelector("[data-live-time]");
  // Nobody can set performance.now() back; a clock that is set back would hide a silence.
  let last = performance.now();

  function say(text, lost) {
    document.body.classList.toggle("lost", lost);
    // A screen reader reads every change aloud, so change the text only if it differs.
    if (state.textContent !== text) state.textContent = text;
  }

  function lose(why = "The server does not answer.") {
    say(`${why} This page shows the state as of`, true);
  }

  // A refusal closes an EventSource for good, without saying why; a HEAD request to the same address gets the status.
  async function closed() {
    const status = await fetch(place.dataset.live, { method: "HEAD" }).then((answer) => answer.status, () => 0);
    if (status === 401) return lose("You are not signed in any more: reload this page.");
    lose();
    setTimeout(open, SILENCE);
  }

  function hear(event) {
    last = performance.now();
    for (const [name, html] of Object.entries(JSON.parse(event.data))) {
      const part = document.querySelector(`[data-part="${CSS.escape(name)}"]`);
      if (!part) continue;
      // A DOMParser runs nothing, and the server has escaped every text in it.
      const body = new DOMParser().parseFromString(html, "text/html").body;
      // Leave a part that has not changed: somebody may be choosing from its list.
      if (body.innerHTML.trim() !== part.innerHTML.trim()) part.replaceChildren(...body.childNodes);
    }
    // The server's clock, as everywhere on the page: this machine's may be wrong.
    time.textContent = `${event.lastEventId} UTC`;
    say("Live", false);
  }

  function open() {
    const source = new EventSource(place.dataset.live);
    source.onmessage = hear;
    source.onerror = () => {
      // Signed out, or too many pages are open; after other errors the browser tries again by itself.
      if (source.readyState === EventSource.CLOSED) closed();
      else lose();
    };
  }

  setInterval(() => { if (performance.now() - last > SILENCE && !document.body.classList.contains("lost")) lose(); }, 1000);
  open();
}

document.querySelectorAll("[data-live]").forEach(watch);

// The server refuses a file that is too long; only the browser can say so before the file is sent.
for (const field of document.querySelectorAll("[data-most-bytes]")) {
  field.addEventListener("change", () => {
    const long = field.files[0] && field.files[0].size > Number(field.dataset.mostBytes);
    field.setCustomValidity(long ? "This file is too long: split it." : "");
    field.reportValidity();
  });
}
