// The moving parts of the page: everything else works without this file.
"use strict";

// How long the server may say nothing before it counts as lost, in milliseconds. It speaks once a second, but a look at a Redis that hangs
// takes it five seconds.
const SILENCE = 12000;

function watch(place) {
  const state = place.querySelector("[data-live-state]");
  const time = place.querySelector("[data-live-time]");
  let last = Date.now();

  function say(text, lost) {
    document.body.classList.toggle("lost", lost);
    // A screen reader tells every change: only what is new is said.
    if (state.textContent !== text) state.textContent = text;
  }

  function lose() {
    say("The server does not answer. What you see is old, as of", true);
  }

  function hear(event) {
    last = Date.now();
    for (const [name, html] of Object.entries(JSON.parse(event.data))) {
      const part = document.querySelector(`[data-part="${CSS.escape(name)}"]`);
      if (!part) continue;
      // Parsed without running anything; whose texts it holds, the server has escaped.
      const body = new DOMParser().parseFromString(html, "text/html").body;
      // What somebody is choosing from is not taken away while it stays the same.
      if (body.innerHTML.trim() !== part.innerHTML.trim()) part.replaceChildren(...body.childNodes);
    }
    time.textContent = new Date().toISOString().slice(11, 19);
    say("Live", false);
  }

  function open() {
    const source = new EventSource(place.dataset.live);
    source.onmessage = hear;
    source.onerror = () => {
      lose();
      // A refusal (signed out, too many pages) closes it for good; all else is tried again by the browser.
      if (source.readyState === EventSource.CLOSED) setTimeout(open, SILENCE);
    };
  }

  setInterval(() => { if (Date.now() - last > SILENCE) lose(); }, 1000);
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
