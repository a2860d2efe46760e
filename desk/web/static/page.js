// The page's own script: times in words, keys, one event stream a browser, and forms that are sent once.
(() => {
  "use strict";
  const all = (what, from = document) => [...from.querySelectorAll(what)];

  // Times. What the server writes stays the same, so that a list that did not change is not sent again.
  const units = [["day", 86400], ["hour", 3600], ["minute", 60]];
  const words = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  const tellTimes = () => all("time[datetime]").forEach((time) => {
    const seconds = (new Date(time.dateTime) - Date.now()) / 1000;
    if (Number.isNaN(seconds)) return;
    const [unit, size] = units.find(([, size]) => Math.abs(seconds) >= size) ?? ["minute", 60];
    time.title ||= time.textContent;
    const said = Math.abs(seconds) < 60 ? (seconds > 0 ? "in a moment" : "just now") : words.format(Math.trunc(seconds / size), unit);
    if (time.textContent !== said) time.textContent = said;
  });
  setInterval(tellTimes, 30000);

  // What was decided or edited elsewhere while this page was open.
  const lookAtStanding = () => {
    const over = document.querySelector("#standing [data-over]");
    const shown = document.querySelector("#standing [data-digest]")?.dataset.digest;
    const seen = document.querySelector("aside input[name=sha256]")?.value;
    const edited = Boolean(shown && seen && shown !== seen);
    const stale = document.getElementById("stale");
    if (stale) stale.hidden = !edited;
    if (over && document.querySelector("aside .deciding")) all("aside .deciding button, aside .deciding summary, .snooze button").forEach((one) => { one.disabled = true; one.setAttribute("aria-disabled", "true"); });
    if (edited) all("aside .deciding button").forEach((one) => { one.disabled = true; });
  };
  // What somebody has opened stays so when a part of the page is fetched again.
  const unfolded = new Set();
  document.addEventListener("toggle", ({ target }) => { if (target.id) unfolded[target.open ? "add" : "delete"](target.id); }, true);
  const unfold = () => all("details[id]").forEach((one) => { if (unfolded.has(one.id)) one.open = true; });
  document.addEventListener("htmx:after:swap", () => { tellTimes(); lookAtStanding(); unfold(); });

  // A form is sent once, whoever clicks twice.
  document.addEventListener("submit", (event) => {
    if (event.target.dataset.sent) { event.preventDefault(); return; }
    if (event.target.method === "post") event.target.dataset.sent = "yes";
  });
  addEventListener("pageshow", () => all("form[data-sent]").forEach((form) => delete form.dataset.sent));

  // What opens in place, a quote or what a cell rests on, closes there too; the keyboard is where it was before.
  let opener = null;
  const closeAll = (boxes) => { boxes.forEach((box) => box.replaceChildren()); if (boxes.length && opener?.isConnected) opener.focus(); };
  document.addEventListener("click", (event) => {
    const opens = event.target.closest?.("a[href^='#quote-'][hx-get], button[hx-get]");
    if (opens && !event.ctrlKey && !event.metaKey && !event.shiftKey) { opener = opens; event.preventDefault(); }
    const close = event.target.closest?.("[data-close]");
    if (close) closeAll([close.closest(".amid, .opened")]);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !document.querySelector("dialog[open]")) closeAll(all(".amid:not(:empty), .opened:not(:empty)"));
  });

  // Several of one kind.
  const count = () => {
    const items = all("[data-item]"), chosen = items.filter((one) => one.checked).length;
    const told = document.getElementById("chosen");
    if (told) told.textContent = chosen ? `${chosen} of ${items.length} chosen.` : "None chosen.";
    const whole = document.getElementById("all");
    if (whole) { whole.checked = chosen === items.length; whole.indeterminate = chosen > 0 && chosen < items.length; }
  };
  document.addEventListener("change", (event) => {
    if (event.target.id === "all") all("[data-item]").forEach((one) => { one.checked = event.target.checked; });
    if (event.target.id === "keys-on") localStorage.setItem("signoff keys", event.target.checked ? "on" : "off");
    count();
  });

  // Keys. They can be switched off, and are none while somebody types (WCAG 2.1.4).
  const keysOn = () => localStorage.getItem("signoff keys") !== "off";
  let armed = 0;
  const approve = () => {
    const button = document.querySelector('.deciding[data-verb="approve"] button:not(:disabled)');
    if (!button) return;
    if (Date.now() - armed < 3000) { button.form.requestSubmit(button); return; }
    armed = Date.now();
    button.classList.add("armed");
    button.focus();
    const before = button.textContent;
    button.textContent = "Press a again to approve";
    setTimeout(() => { button.classList.remove("armed"); button.textContent = before; }, 3000);
  };
  const open = (verb) => {
    const details = document.querySelector(`details.deciding[data-verb="${verb}"]`);
    if (!details) return;
    details.open = true;
    details.querySelector("textarea, input:not([type=hidden]), select")?.focus();
  };
  const move = (by) => {
    const rows = all("[data-row]"), at = rows.indexOf(document.activeElement);
    rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + by, 0), rows.length - 1)]?.focus();
  };
  const choose = () => { const at = document.activeElement; if (at?.matches?.("[data-item]")) at.click(); };
  const deeds = { j: () => move(1), k: () => move(-1), a: approve, r: () => open("reject"), e: () => open("edit"), x: choose, "?": () => document.getElementById("keys")?.showModal() };
  document.addEventListener("keydown", (event) => {
    const at = event.target, typing = at.matches?.("input:not([type=checkbox]), textarea, select, [contenteditable]");
    if (!keysOn() || typing || event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat) return;
    if (document.querySelector("dialog[open]")) return;
    const deed = deeds[event.key];
    if (deed) { event.preventDefault(); deed(); }
  });

  // One event stream a browser: the tab that holds the lock listens, and tells the others. A browser without locks, as
  // where the page does not come by https, has none: a stream in each tab would take all the connections that it has.
  const tell = (state) => {
    const live = document.getElementById("live");
    if (!live || live.dataset.state === state) return;
    const now = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    live.dataset.state = state;
    live.textContent = { live: "live", paused: `paused since ${now}: looks every 20 s` }[state] ?? "looks every 20 s";
  };
  const changed = () => document.body.dispatchEvent(new Event("changed"));
  const listen = () => {
    const address = document.body.dataset.events;
    if (!address) return;
    if (!navigator.locks || !window.BroadcastChannel) { tell("looks"); return; }
    const tabs = new BroadcastChannel("signoff");
    tabs.onmessage = ({ data }) => { if (data.state) tell(data.state); if (data.changed) changed(); };
    const pass = (data) => { tell(data.state); if (data.changed) changed(); tabs.postMessage(data); };
    const lead = () => new Promise(() => {
      const stream = new EventSource(address);
      stream.onopen = () => pass({ state: "live" });
      stream.onerror = () => pass({ state: "paused" });
      stream.addEventListener("changed", () => pass({ state: "live", changed: true }));
      tabs.addEventListener("message", ({ data }) => { if (data.asks) tabs.postMessage({ state: stream.readyState === 1 ? "live" : "paused" }); });
    });
    tabs.postMessage({ asks: true });
    navigator.locks.request("signoff stream", lead);
  };

  document.addEventListener("DOMContentLoaded", () => {
    const on = document.getElementById("keys-on");
    if (on) on.checked = keysOn();
    tellTimes(); lookAtStanding(); count(); listen();
  });
})();
