// The moving parts of the page: everything else works without this file.
"use strict";

// How long the server may say nothing before it counts as lost, in milliseconds. It speaks once a second, but a look at a Redis that hangs
// takes it five seconds.
const SILENCE = 12000;

function watch(place) {
  const state = place.querySelector("[data-live-state]");
  const time = place.querySelector("[data-live-time]");
  // A clock that nobody sets: one that was put back would hide a silence.
  let last = performance.now();

  function say(text, lost) {
    document.body.classList.toggle("lost", lost);
    // A screen reader tells every change: only what is new is said.
    if (state.textContent !== text) state.textContent = text;
  }

  function lose(why = "The server does not answer.") {
    say(`${why} What you see is old, as of`, true);
  }

  // A refusal closes a stream for good and does not say why; asked for its head alone, the same address does.
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
      // Parsed without running anything; whose texts it holds, the server has escaped.
      const body = new DOMParser().parseFromString(html, "text/html").body;
      // What somebody is choosing from is not taken away while it stays the same.
      if (body.innerHTML.trim() !== part.innerHTML.trim()) part.replaceChildren(...body.childNodes);
    }
    // The server's clock, as in all else that the page tells: this machine's may be wrong.
    time.textContent = `${event.lastEventId} UTC`;
    say("Live", false);
  }

  function open() {
    const source = new EventSource(place.dataset.live);
    source.onmessage = hear;
    source.onerror = () => {
      // Signed out, or too many pages; all else is tried again by the browser.
      if (source.readyState === EventSource.CLOSED) closed();
      else lose();
    };
  }

  setInterval(() => { if (performance.now() - last > SILENCE && !document.body.classList.contains("lost")) lose(); }, 1000);
  open();
}

document.querySelectorAll("[data-live]").forEach(watch);

// The server refuses a file that is too long, but only a browser that has looked first can say so before it is sent.
for (const field of document.querySelectorAll("[data-most-bytes]")) {
  field.addEventListener("change", () => {
    const long = field.files[0] && field.files[0].size > Number(field.dataset.mostBytes);
    field.setCustomValidity(long ? "This file is too long: split it." : "");
    field.reportValidity();
  });
}
