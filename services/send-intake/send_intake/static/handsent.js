// What pages do by themselves: times in the reader's zone, live figures, uploads, and sending by hand.
// No framework, nothing from elsewhere; a page says by `data-` attributes what it wants of this.
"use strict";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const number = new Intl.NumberFormat("en-US");
const say = (words) => { $("#said").textContent = words; };
const USER = document.body.dataset.user || ""; // whose page this is, whoever has signed in since

// --- times ----------------------------------------------------------------------------------------------

const clock = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });
const zone = new Intl.DateTimeFormat("en-GB", { timeZoneName: "short" });
const zoneOf = (at) => zone.formatToParts(at).find((part) => part.type === "timeZoneName").value;

function localise(root = document) {
  for (const time of $$("time[datetime]", root)) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    time.title = time.dataset.utc ??= time.textContent;
    time.textContent = `${clock.format(at)} ${zoneOf(at)}`;
  }
}

// Beside the reader's own time, that of the campaign's zone, where it is another.
function elsewhere() {
  for (const element of $$("[data-zone]")) {
    const at = new Date(element.dataset.at), timeZone = element.dataset.zone;
    try {
      const there = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short", timeZone }).format(at);
      element.textContent = there === clock.format(at) ? `(${timeZone})` : `(${there} in ${timeZone})`;
    } catch { element.textContent = `(${timeZone})`; } // a zone that this browser does not know
  }
}

function left(ms) {
  const minutes = Math.floor(ms / 60000), hours = Math.floor(minutes / 60), days = Math.floor(hours / 24);
  if (days > 0) return `in ${days} d ${hours % 24} h`;
  if (hours > 0) return `in ${hours} h ${minutes % 60} min`;
  if (minutes > 0) return `in ${minutes} min ${Math.floor(ms / 1000) % 60} s`;
  return `in ${Math.ceil(ms / 1000)} s`;
}

function countDown() {
  for (const element of $$("[data-countdown]")) {
    const ms = new Date(element.dataset.countdown) - Date.now();
    element.textContent = ms > 0 ? left(ms) : "its time has come: each SEND goes at once";
  }
}

// --- asking ---------------------------------------------------------------------------------------------

const ANSWER_MS = 20000;

class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || `The answer was ${status}.`);
    this.status = status;
    this.code = problem.code || "";
    this.problem = problem;
  }
}

// Answers JSON, or throws Refused for a word of the service's and another error where nothing of it came: no answer in
// time, or one of somebody in between. What the page asks, it asks for its own user: the service refuses it for another.
async function ask(method, path, body) {
  const headers = USER ? { "Handsent-User": USER } : {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const text = body === undefined ? undefined : JSON.stringify(body);
  const answer = await fetch(path, { method, headers, body: text, redirect: "error", signal: AbortSignal.timeout(ANSWER_MS) });
  const said = await answer.json().catch(() => null);
  if (!answer.ok) {
    const refused = new Refused(answer.status, said || {});
    if (refused.code === "another_user") location.reload();
    throw refused;
  }
  if (said === null && answer.status !== 204) throw new TypeError("this is no answer of the service's");
  return said;
}

function showProblem(error, where = $("#problem")) {
  where.textContent = error instanceof Refused ? error.message : "There is no connection at the moment. Try again.";
  where.hidden = false;
}

// --- live figures ---------------------------------------------------------------------------------------

function connection(words) {
  const element = $("#connection");
  if (!element || element.dataset.by === "presses") return;
  element.hidden = !words;
  element.textContent = words;
}

// Server-sent events; where they are blocked or break, asks every few seconds until they are back. Only while the page
// is seen: a browser opens few connections to a host, and pages in the background would take them from the one in use.
// Answers what ends it.
function follow(url, event, poll, take) {
  let source = null, polling = null, quiet = 0, doubt = null, ended = false;
  const stop = () => { clearInterval(polling); polling = null; };
  const startPolling = () => {
    polling ??= setInterval(async () => {
      try { take(await poll()); connection(""); } catch (error) {
        if (error instanceof Refused && error.status === 401) return location.reload();
        connection("The figures stand still: there is no connection. They go on by themselves.");
      }
      if (source?.readyState === EventSource.CLOSED && ++quiet % 5 === 0) open();
    }, 2000);
  };
  function open() {
    source = new EventSource(url);
    source.addEventListener(event, (message) => { stop(); connection(""); take(JSON.parse(message.data)); });
    source.onerror = startPolling;
  }
  function begin() {
    if (source || ended) return;
    open();
    doubt = setTimeout(() => { if (source?.readyState !== EventSource.OPEN) startPolling(); }, 3000);
  }
  function close() {
    clearTimeout(doubt);
    stop();
    source?.close();
    source = null;
  }
  const arrange = () => document.hidden ? close() : begin();
  arrange();
  document.addEventListener("visibilitychange", arrange);
  addEventListener("pagehide", close);
  addEventListener("pageshow", arrange);
  return () => { ended = true; close(); };
}

function put(root, name, value) {
  for (const element of $$(`[data-figure="${name}"]`, root)) {
    const words = number.format(value);
    if (element.textContent === words) continue;
    element.textContent = words;
    if (element.hasAttribute("aria-label")) {
      element.setAttribute("aria-label", element.getAttribute("aria-label").replace(/: [\d,]+$/, `: ${words}`));
    }
  }
}

const WAITS = {
  time: "Those who wait go out at the campaign's time.",
  clock: "The time has come, but the clock everybody goes by has not reached it yet. They leave as soon as it does.",
  queue: "Those who wait are on their way, as fast as the carrier takes them.",
};

function showProgress(figures) {
  for (const [name, value] of Object.entries(figures)) if (typeof value === "number") put(document, name, value);
  const waits = $("#waits");
  if (waits) waits.textContent = figures.waiting ? WAITS[figures.waits_for] || "" : "";
  for (const item of $$("[data-reason]")) {
    const count = figures.failed_by_reason[item.dataset.reason] || 0;
    item.hidden = !count;
    $(".count", item).textContent = number.format(count);
  }
  const none = $("#no-reasons");
  if (none) none.hidden = figures.failed > 0;
}

function followProgress(id, take) {
  const path = `/api/v1/campaigns/${id}/progress`;
  follow(`${path}/stream`, "progress", () => ask("GET", path), take);
}

function showCards(found) {
  for (const [id, figures] of Object.entries(found)) {
    const card = $(`[data-campaign="${id}"]`);
    if (!card) continue;
    if (figures.state === "completed") { card.remove(); say("A campaign was ended."); continue; }
    for (const [name, part, whole] of [["processed", figures.processed, figures.recipients], ["delivered", figures.delivered, figures.sent]]) {
      put(card, name, part);
      put(card, `${name}-of`, whole);
      const meter = $(`[data-meter="${name}"]`, card);
      meter.max = whole || 1;
      meter.value = part;
    }
    if (figures.sending) {
      const words = figures.sending.length ? `Sending now: ${figures.sending.join(", ")}` : "Nobody is sending it now.";
      const where = $("[data-senders]", card);
      if (where.textContent !== words) where.textContent = words;
    }
  }
}

function followCards(ids) {
  if (!ids) return () => {};
  const poll = async () => {
    const found = await ask("GET", `/api/v1/campaigns/compare?ids=${ids}`);
    return Object.fromEntries(found.campaigns.map((one) => [one.campaign_id, one]));
  };
  return follow(`/campaigns/live?ids=${ids}`, "figures", poll, showCards);
}

// Campaigns that were made since are put before the others.
function followCampaigns(ids) {
  const MOST = 50, cards = $(".cards");
  let unfollow = followCards(ids);
  setInterval(async () => {
    if (document.hidden) return;
    const answer = await fetch("/campaigns", { redirect: "error" }).catch(() => null);
    if (!answer?.ok) return;
    const found = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (found.body.dataset.user !== USER) return location.reload();
    const fresh = $$("[data-campaign]", found).filter((card) => !$(`[data-campaign="${card.dataset.campaign}"]`));
    if (!fresh.length) return;
    localise(found);
    $(".empty")?.remove();
    cards.prepend(...fresh);
    unfollow();
    unfollow = followCards($$("[data-campaign]").slice(0, MOST).map((card) => card.dataset.campaign).join(","));
    say(fresh.length === 1 ? "A campaign was made." : `${fresh.length} campaigns were made.`);
  }, 10000);
}

// --- uploads --------------------------------------------------------------------------------------------

function upload(path, file, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.setRequestHeader("Content-Type", "text/csv");
    request.setRequestHeader("Handsent-User", USER);
    request.responseType = "json";
    request.upload.onprogress = (event) => onProgress(event.loaded, event.total);
    request.onload = () => request.status < 300 ? resolve(request.response) : reject(new Refused(request.status, request.response || {}));
    request.onerror = () => reject(new TypeError("no connection"));
    request.send(file);
  });
}

const cell = (text) => /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
const quoted = (text) => `"${cell(String(text)).replaceAll('"', '""')}"`;

// What an upload did, and its rejects as a file.
function outcome(where, said) {
  const parts = [`${number.format(said.added)} added`];
  if (said.duplicates !== undefined) parts.push(`${number.format(said.duplicates)} were there already`);
  if (said.already !== undefined) parts.push(`${number.format(said.already)} had opted out already`);
  parts.push(`${number.format(said.rejected)} rejected`);
  const words = document.createElement("p");
  words.className = "note";
  words.textContent = `${parts.join(", ")}.`;
  where.replaceChildren(words);
  if (!said.rejects.length) return;
  const list = document.createElement("ul");
  for (const one of said.rejects.slice(0, 5)) {
    const item = document.createElement("li");
    item.textContent = `Line ${one.line}: ${one.detail || one.reason}`;
    list.append(item);
  }
  const lines = said.rejects.map((one) => [one.line, one.reason, one.detail || ""].map(quoted).join(","));
  const link = document.createElement("a");
  link.className = "button quiet";
  link.download = "rejects.csv";
  link.href = URL.createObjectURL(new Blob([`line,reason,detail\r\n${lines.join("\r\n")}\r\n`], { type: "text/csv" }));
  link.textContent = `Download the ${number.format(said.rejects.length)} rejects`;
  where.append(list, link);
}

function watchUploads() {
  for (const form of $$("form[data-upload]")) {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const where = $("[data-outcome]", form), button = $("button", form);
      button.disabled = true;
      try {
        const said = await upload(form.dataset.upload, $("input[type=file]", form).files[0], (loaded, total) => {
          where.textContent = `${Math.round(100 * loaded / total)} % uploaded`;
        });
        outcome(where, said);
      } catch (error) { showProblem(error, where); } finally { button.disabled = false; }
    });
  }
}

// --- a new campaign -------------------------------------------------------------------------------------

const HEAD = 64 * 1024;

function newCampaign(form) {
  const field = (name) => form.elements[name];
  const zones = Intl.supportedValuesOf("timeZone"), own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  field("zone").append(...zones.map((name) => new Option(name, name, name === own, name === own)));
  form.addEventListener("change", () => { $("#later").hidden = field("when").value !== "later"; });
  let head = "", made = null, due = null;
  const later = () => { clearTimeout(due); due = setTimeout(preview, 250); };
  field("text").addEventListener("input", later);
  field("file").addEventListener("change", async () => {
    const file = field("file").files[0];
    head = file ? await file.slice(0, HEAD).text() : "";
    later();
  });

  async function preview() {
    try { show(await ask("POST", "/api/v1/campaigns/preview", { text: field("text").value, head: head.replaceAll("\0", "") })); }
    catch (error) { $("#cost").textContent = error instanceof Refused ? error.message : ""; }
  }

  function show(found) {
    const worst = Math.max(found.segments, ...found.rows.map((row) => row.segments));
    const words = [`${worst} ${worst === 1 ? "segment" : "segments"} each`];
    if (found.encoding === "UCS-2") words.push(`${found.forced_by.slice(0, 5).join(" ")} make it dearer: a plain text has 160 characters to a segment, this one 70`);
    else if (worst > 1) words.push("each segment is paid for");
    $("#cost").textContent = field("text").value ? words.join("; ") : "";
    const problem = (field("text").value && found.text_problem) || found.list_problem;
    const shown = found.rows.map((row) => {
      const sample = document.createElement("div"), about = document.createElement("p"), bubble = document.createElement("p");
      about.className = "soft";
      about.textContent = `${row.phone} · ${row.segments} ${row.segments === 1 ? "segment" : "segments"}`;
      bubble.className = "bubble";
      bubble.textContent = row.text;
      sample.append(about, bubble);
      return sample;
    });
    if (problem) {
      const note = document.createElement("p");
      note.className = "note alarm";
      note.textContent = problem.fields.length ? `${problem.detail} (${problem.fields.join(", ")})` : problem.detail;
      shown.unshift(note);
    }
    if (found.columns.length) {
      const columns = document.createElement("p");
      columns.className = "soft";
      columns.textContent = `Merge fields of this list: ${found.columns.map((name) => `{${name}}`).join(" ")}`;
      shown.unshift(columns);
    }
    if (shown.length) $("#preview").replaceChildren(...shown);
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = $("button[type=submit]", form), file = field("file").files[0];
    $("#problem").hidden = true;
    button.disabled = true;
    try {
      if (!made) {
        const asked = { name: field("name").value, text: field("text").value };
        if (field("sender") && field("sender").value) asked.sender = field("sender").value;
        if (field("when").value === "later") asked.scheduled_for = atZone(field("day").value, field("zone").value);
        made = await ask("POST", "/api/v1/campaigns", asked);
        for (const name of ["name", "text", "day", "zone", "sender"]) if (field(name)) field(name).disabled = true;
        button.textContent = "Upload the list again";
      }
      if (file) {
        $("#upload").hidden = false;
        const bar = $("#upload progress"), words = $("#upload p");
        const said = await upload(`/api/v1/campaigns/${made.campaign_id}/recipients?rejects=all`, file, (loaded, total) => {
          bar.max = total;
          bar.value = loaded;
          words.textContent = loaded < total ? `${Math.round(100 * loaded / total)} % uploaded` : "uploaded; reading it";
        });
        $("#upload").hidden = true;
        outcome($("#outcome"), said);
        button.hidden = said.added > 0;
      }
      const on = document.createElement("p"), link = document.createElement("a");
      on.className = "acts";
      link.className = "button";
      link.href = `/campaigns/${made.campaign_id}`;
      link.textContent = `Go to ${made.name}`;
      on.append(link);
      $("#outcome").append(on);
      if (!file) location.href = link.href; else link.focus();
    } catch (error) {
      $("#upload").hidden = true;
      showProblem(error);
      if (made) $("#problem").textContent += " The campaign is made; choose a list that fits and upload it again.";
    } finally { button.disabled = false; }
  });
}

// A wall-clock time in a zone as RFC 3339 with the offset that zone has then, the zone named behind it.
function atZone(day, name) {
  if (!day) throw new Refused(422, { detail: "Choose the day and the time." });
  const asUtc = new Date(`${day}:00Z`);
  const shows = (at) => {
    const parts = Object.fromEntries(new Intl.DateTimeFormat("en-US", {
      timeZone: name, hourCycle: "h23", year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
    }).formatToParts(at).map((part) => [part.type, part.value]));
    return Date.UTC(parts.year, parts.month - 1, parts.day, parts.hour, parts.minute, parts.second);
  };
  let offset = shows(asUtc) - asUtc.getTime();
  offset = shows(new Date(asUtc.getTime() - offset)) - (asUtc.getTime() - offset);
  const minutes = Math.round(offset / 60000), sign = minutes < 0 ? "-" : "+", two = (n) => String(n).padStart(2, "0");
  return `${day}:00${sign}${two(Math.floor(Math.abs(minutes) / 60))}:${two(Math.abs(minutes) % 60)}[${name}]`;
}

// --- presses that are kept until they are answered ----------------------------------------------------------

// In the browser's own database, so that they survive a reload; a press is its user's, and nobody else's is sent.
class Kept {
  constructor(user, campaign) { this.user = user; this.campaign = campaign; }

  static open() {
    return Kept.database ??= new Promise((resolve, reject) => {
      const request = indexedDB.open("handsent", 1);
      request.onupgradeneeded = () => request.result.createObjectStore("presses", { keyPath: ["user", "campaign", "recipient"] });
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  }

  async #store(mode, work) {
    const database = await Kept.open();
    return new Promise((resolve, reject) => {
      const transaction = database.transaction("presses", mode, { durability: "strict" });
      const request = work(transaction.objectStore("presses"));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
    });
  }

  #key(recipient) { return [this.user, this.campaign, recipient]; }
  put(recipient, name) {
    const press = { user: this.user, campaign: this.campaign, recipient, name, at: Date.now() };
    return this.#store("readwrite", (store) => store.put(press));
  }
  drop(recipient) { return this.#store("readwrite", (store) => store.delete(this.#key(recipient))); }
  // The user's presses in this campaign; without a campaign, in all.
  all() {
    const range = IDBKeyRange.bound([this.user, this.campaign || "", ""], [this.user, this.campaign || "\uffff", "\uffff"]);
    return this.#store("readonly", (store) => store.getAll(range));
  }
}

const presses = (count) => `${number.format(count)} ${count === 1 ? "press" : "presses"}`;
const are = (count) => count === 1 ? "is" : "are";
const sendAll = (campaign, recipients) => ask("POST", `/api/v1/campaigns/${campaign}/send`, { recipients: recipients.map((recipient_id) => ({ recipient_id })) });

// A line that stays until it is dismissed; `acts` are buttons: [words, what they do].
function line(words, acts = [], dismissed = () => {}) {
  const item = document.createElement("li"), text = document.createElement("span");
  text.textContent = words;
  item.append(text);
  for (const [name, act] of [...acts, ["Dismiss", dismissed]]) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet";
    button.textContent = name;
    button.addEventListener("click", () => { item.remove(); act(); });
    item.append(button);
  }
  $("#errors").append(item);
  say(words);
}

const WHY = {
  campaign_ended: "the campaign has ended",
  not_found: "not on this list any more",
};
const notSent = (said, who) => `${who} was not SENT: ${WHY[said.code] || said.detail || said.code}.`;

// On the page of a campaign that its user does not send, or that has ended: what is kept for it is not kept quiet.
async function tellKept(main) {
  const campaign = main.dataset.sending, kept = new Kept(USER, campaign), found = await kept.all().catch(() => []);
  if (!found.length) return;
  const forget = async () => { for (const one of found) await kept.drop(one.recipient).catch(() => {}); };
  if (main.dataset.begun === "no") {
    const words = `${presses(found.length)} of yours in this campaign did not reach us and ${are(found.length)} kept in this browser`;
    return line(`${words}. Start sending, and they are sent.`, [["Forget them", forget]]);
  }
  for (let at = 0; at < found.length; at += BATCH) {
    const some = found.slice(at, at + BATCH), names = new Map(some.map((one) => [one.recipient, one.name]));
    const said = await sendAll(campaign, some.map((one) => one.recipient));
    for (const result of said.results) {
      if (result.status >= 500) continue;
      await kept.drop(result.recipient_id).catch(() => {});
      if (result.status !== 200) line(notSent(result, names.get(result.recipient_id) || "Somebody"));
    }
  }
}

// On Current Campaigns: where presses are kept that have not reached us.
async function tellAllKept() {
  const count = new Map();
  for (const one of await new Kept(USER, "").all().catch(() => [])) count.set(one.campaign, (count.get(one.campaign) || 0) + 1);
  for (const [campaign, kept] of count) {
    const name = $(`[data-campaign="${campaign}"] h2`)?.textContent.trim() || "a campaign that is not open any more";
    line(`${presses(kept)} of yours did not reach us and ${are(kept)} kept in this browser: ${name}.`, [["See", () => { location.href = `/campaigns/${campaign}/send`; }]]);
  }
}

// --- sending --------------------------------------------------------------------------------------------

const FEW = 60, MORE = 100, MOST_SHOWN = 250, BATCH = 500, LOOK_MS = 5000, PROLONG_MS = 5 * 60000;
const STORED_MS = 1000; // a browser that does not answer keeps nothing, and still sends
const OLD_MS = 12 * 3600000; // as long as a session: a press that is older is asked about before it is sent

class Sending {
  constructor(main) {
    this.campaign = main.dataset.sending;
    this.due = main.dataset.due ? new Date(main.dataset.due) : null;
    this.kept = new Kept(USER, this.campaign);
    this.names = new Map(); // of whom a line may have to tell
    this.flying = new Set(); // POSTs under way
    this.rows = $("#rows");
    this.seen = new Set($$("[data-row]").map((row) => row.dataset.row));
    this.away = new Set(); // pressed, and not answered because nothing came back
    this.mine = 0;
    this.over = false; // nobody can be pressed any more
    this.halted = false; // nor is anything that is kept sent from here
    this.asking = false;
    this.flushing = false;
    this.watch();
  }

  watch() {
    this.rows.addEventListener("click", (event) => {
      const button = event.target.closest("button.send");
      // The second click of a double click is of the same hand and the same wish.
      if (button && event.detail <= 1) this.press(button.closest("[data-row]"), event.detail === 0);
    });
    // A key that is held down repeats; a press is one.
    this.rows.addEventListener("keydown", (event) => {
      if (event.repeat && (event.key === "Enter" || event.key === " ")) event.preventDefault();
      if (event.key === "ArrowDown" || event.key === "ArrowUp") this.step(event);
    });
    addEventListener("online", () => this.flush());
    const others = new BroadcastChannel(`handsent ${this.campaign}`); // another tab of this user's has the same rows
    others.onmessage = () => { for (const ms of [500, 3000]) setTimeout(() => this.more(true), ms); };
    addEventListener("pagehide", () => {
      navigator.sendBeacon(`/campaigns/${this.campaign}/send/leave`, new URLSearchParams({ user: USER }));
      others.postMessage("its rows were given back");
    });
    $("form[data-stop]").addEventListener("submit", (event) => this.stopping(event));
    addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
    setInterval(() => this.look(), LOOK_MS);
    setInterval(() => this.more(true), PROLONG_MS);
    this.recover();
  }

  step(event) {
    const buttons = this.open(), at = buttons.indexOf(document.activeElement);
    const next = buttons[at + (event.key === "ArrowDown" ? 1 : -1)];
    if (at >= 0 && next) { event.preventDefault(); next.focus(); }
  }

  open() { return $$(".row:not(.pressed) .send", this.rows); }

  // Sends what an earlier page of this user's had pressed and no answer had come for.
  async recover() {
    const old = [];
    for (const { recipient, name, at } of await this.kept.all().catch(() => [])) {
      this.names.set(recipient, name);
      if (Date.now() - at > OLD_MS) old.push(recipient); else this.hold(recipient);
    }
    if (old.length) {
      const forget = async () => { for (const recipient of old) await this.kept.drop(recipient).catch(() => {}); };
      const send = () => { for (const recipient of old) this.hold(recipient); this.flush(); };
      line(`${presses(old.length)} from more than 12 hours ago did not reach us. Are they still to be sent?`, [["Send them", send], ["Forget them", forget]]);
    }
    if (this.away.size) await this.flush();
    this.first();
    this.more(true); // a page that was left gave its rows back: they are this user's again
  }

  first() { if (document.activeElement === document.body || document.activeElement === $("main")) this.open()[0]?.focus(); }

  press(row, byKey) {
    if (!row || row.classList.contains("pressed") || this.over) return;
    const name = $(".row-name", row).firstChild.textContent.trim();
    this.mark(row, "", "sending");
    const next = this.after(row);
    if (next) next.focus({ preventScroll: !byKey }); else $("#done").hidden = false;
    const sent = this.send(row.dataset.row, name);
    this.flying.add(sent);
    sent.finally(() => this.flying.delete(sent));
    this.more();
  }

  after(row) {
    for (let next = row.nextElementSibling; next; next = next.nextElementSibling) {
      if (!next.classList.contains("pressed")) return $(".send", next);
    }
    return this.open()[0];
  }

  mark(row, kind, words) {
    row.classList.remove("confirmed", "kept", "refused");
    row.classList.add("pressed");
    if (kind) row.classList.add(kind);
    $(".row-state", row).textContent = words;
  }

  async send(recipient, name) {
    this.names.set(recipient, name);
    await Promise.race([this.kept.put(recipient, name).catch(() => {}), new Promise((done) => setTimeout(done, STORED_MS))]);
    try {
      const said = await ask("POST", `/api/v1/campaigns/${this.campaign}/recipients/${recipient}/send`);
      if (!said.processed_at) throw new TypeError("this is no answer of the service's");
      await this.answered(recipient, { status: 200, ...said });
    } catch (error) {
      if (error instanceof Refused && error.code !== "another_user" && error.status < 500 && ![401, 408, 429].includes(error.status)) {
        await this.answered(recipient, { status: error.status, code: error.code, detail: error.message });
      } else {
        this.hold(recipient);
        this.tell(error);
      }
    }
  }

  // It is kept until there is an answer.
  hold(recipient) {
    this.away.add(recipient);
    const row = $(`[data-row="${recipient}"]`);
    if (row) this.mark(row, "kept", "kept; will be sent");
  }

  // What keeps the presses that are kept.
  tell(error) {
    const note = $("#connection"), count = this.away.size;
    note.hidden = count === 0;
    note.dataset.by = count ? "presses" : "";
    const kept = `${presses(count)} ${are(count)} kept in this browser`, status = error instanceof Refused ? error.status : 0;
    if (status === 401) note.textContent = `You are signed out. ${kept} and will be sent when you sign in again.`;
    else if (status) note.textContent = `The service cannot take everything at the moment. ${kept}, also through a reload, and will be sent once it can.`;
    else note.textContent = `There is no connection. ${kept}, also through a reload, and will be sent once it is back.`;
  }

  async answered(recipient, said) {
    if (said.code === "not_sending") { // it stays kept: nobody has refused it for good
      this.hold(recipient);
      this.halt();
      return;
    }
    this.away.delete(recipient);
    await this.kept.drop(recipient).catch(() => {});
    const row = $(`[data-row="${recipient}"]`);
    const who = this.names.get(recipient) || (row ? $(".row-name", row).firstChild.textContent.trim() : "Somebody");
    this.names.delete(recipient);
    if (said.status === 200) {
      this.mine += 1;
      $("#mine").textContent = number.format(this.mine);
      if (row) this.mark(row, "confirmed", this.words(said));
    } else {
      if (row) this.mark(row, "refused", "not sent");
      if (said.code === "campaign_ended") this.end();
      line(notSent(said, who), [], () => this.open()[0]?.focus());
    }
    if (!this.away.size) this.tell();
  }

  words(said) {
    const due = new Date(said.due_at), processed = new Date(said.processed_at);
    if (said.state === "suppressed") return "not texted: opted out";
    return due > processed && due > new Date() ? `goes at ${clock.format(due)}` : "SENT";
  }

  end() { this.close("The campaign has ended. Nobody can be SENT any more."); }

  // The user has stopped, or moved over to another campaign, in another tab.
  halt() {
    this.halted = true;
    if (!this.close("You are not sending this campaign any more.")) return;
    Promise.allSettled([...this.flying]).then(() => {
      const count = this.away.size;
      const kept = count ? ` ${presses(count)} ${are(count)} kept in this browser, and sent when you start again.` : "";
      line(`You are not sending this campaign any more.${kept}`, [["Start again", () => location.reload()]]);
    });
  }

  close(words) {
    if (this.over) return false;
    this.over = true;
    for (const button of this.open()) button.disabled = true;
    const done = $("#done");
    done.hidden = false;
    done.textContent = words;
    say(words);
    return true;
  }

  // What was pressed is sent before the user stops.
  async stopping(event) {
    if (!this.flying.size && !this.away.size) return;
    event.preventDefault();
    const form = event.target;
    await Promise.allSettled([...this.flying]);
    await this.flush();
    if (!this.away.size) return form.submit();
    line(`${presses(this.away.size)} ${this.away.size === 1 ? "has" : "have"} not reached us yet. They stay kept in this browser.`, [["Stop all the same", () => form.submit()]]);
  }

  // All that is kept, in batches, by one tab at a time.
  async flush() {
    if (this.flushing || this.halted || !this.away.size) return;
    this.flushing = true;
    const asked = new Set(); // each once in a round: what cannot be taken now must not hold up the others
    const work = async () => {
      for (let some; !this.halted && (some = [...this.away].filter((one) => !asked.has(one)).slice(0, BATCH)).length;) {
        for (const one of some) asked.add(one);
        const said = await sendAll(this.campaign, some);
        for (const result of said.results) if (result.status < 500) await this.answered(result.recipient_id, result);
      }
      if (this.away.size && !this.halted) this.tell(new Refused(503, {}));
    };
    try { await (navigator.locks ? navigator.locks.request(`handsent ${this.campaign}`, work) : work()); }
    catch (error) { this.tell(error); }
    finally { this.flushing = false; }
  }

  look() {
    this.flush();
    this.more();
  }

  // More rows when few are left to press; `prolong` also when there are enough, so that they stay this user's.
  async more(prolong = false) {
    if (this.asking || this.over || (!prolong && this.open().length > FEW)) return;
    this.asking = true;
    try {
      const said = await ask("POST", `/api/v1/campaigns/${this.campaign}/sending/next`, { limit: MORE, fair: true });
      const fresh = said.recipients.filter((one) => !this.seen.has(one.recipient_id) && !this.away.has(one.recipient_id));
      this.yield(new Set(said.recipients.map((one) => one.recipient_id)));
      this.rows.append(...fresh.map((one) => this.row(one)));
      $("#done").hidden = this.open().length > 0;
      this.trim();
      this.first();
    } catch (error) {
      if (error instanceof Refused && error.code === "campaign_ended") this.end();
      else if (error instanceof Refused && error.code === "not_sending") this.halt();
    } finally { this.asking = false; }
  }

  // Rows that are somebody else's now: they came to help when the list ran out. Not the one under the hand.
  yield(own) {
    for (const button of this.open()) {
      const row = button.closest("[data-row]");
      if (own.has(row.dataset.row) || button === document.activeElement) continue;
      this.seen.delete(row.dataset.row);
      row.remove();
    }
  }

  row(one) {
    this.seen.add(one.recipient_id);
    const row = document.createElement("li");
    row.className = "row";
    row.dataset.row = one.recipient_id;
    const name = `${one.first_name} ${one.last_name}`.trim() || one.phone;
    const part = (tag, kind, text) => { const made = document.createElement(tag); made.className = kind; made.textContent = text; return made; };
    const words = part("div", "row-words", ""), title = part("p", "row-name", `${name} `), text = part("p", "row-text", one.text);
    title.append(part("span", "soft", one.phone));
    text.id = `t-${one.recipient_id}`;
    words.append(title, text);
    const act = part("div", "row-act", ""), button = part("button", "send", "SEND");
    button.type = "button";
    button.setAttribute("aria-label", `Send to ${name}`);
    button.setAttribute("aria-describedby", text.id);
    act.append(button, part("span", "row-state", ""));
    row.append(words, act);
    return row;
  }

  // What was confirmed long ago goes from the page, so that hours of sending stay as fast as the first minute.
  trim() {
    const done = $$(".row.confirmed", this.rows);
    const above = done.slice(0, Math.max(0, this.rows.children.length - MOST_SHOWN));
    for (const row of above) row.remove();
  }
}

// --- lists that go on, opt-outs, the end ------------------------------------------------------------------

function watchPages() {
  const table = $("table[data-pages] tbody");
  if (!table) return;
  document.addEventListener("click", async (event) => {
    const link = event.target.closest("a[data-next]");
    if (!link) return;
    event.preventDefault();
    const answer = await fetch(link.href);
    const found = new DOMParser().parseFromString(await answer.text(), "text/html");
    const rows = $$("table[data-pages] tbody tr", found), next = $("a[data-next]", found);
    localise(found);
    table.append(...rows);
    for (const old of [...table.children].slice(0, Math.max(0, table.children.length - 2000))) old.remove();
    if (next) link.href = next.getAttribute("href"); else link.closest("p").remove();
    say(`${rows.length} more`);
    $("a, button", rows[0])?.focus();
  });
}

function watchOptOuts() {
  const search = $("#search"), again = () => search.value ? search.form.requestSubmit() : location.reload();
  const form = $("form[data-opt-out]");
  form?.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await ask("POST", "/api/v1/opt-outs", { phone: form.elements.phone.value, reason: form.elements.reason.value });
      again();
    } catch (error) { showProblem(error); }
  });
  const dialog = $("#lift");
  let person = "";
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-lift]");
    if (!button) return;
    person = button.dataset.lift;
    // Esc leaves both as they were: what was confirmed for one person must not be confirmed for the next.
    dialog.returnValue = "";
    $("#lift-reason").value = "";
    dialog.showModal();
  });
  dialog?.addEventListener("close", async () => {
    const reason = $("#lift-reason").value.trim();
    if (dialog.returnValue !== "yes" || !reason) return;
    try { await ask("DELETE", `/api/v1/opt-outs/${person}`, { reason }); again(); }
    catch (error) { showProblem(error); }
  });
}

function watchEnd() {
  const form = $("form[data-end]");
  if (!form) return;
  const box = form.elements.confirm, button = $("button", form);
  const check = () => { button.disabled = box.value !== "END"; };
  box.addEventListener("input", check);
  check();
  box.focus();
}

// --- begin ----------------------------------------------------------------------------------------------

localise();
elsewhere();
countDown();
setInterval(countDown, 1000);
watchUploads();
watchPages();
watchOptOuts();
watchEnd();
const main = $("main");
if (main.dataset.live !== undefined) {
  followCampaigns(main.dataset.live);
  tellAllKept();
}
if (main.dataset.progress) followProgress(main.dataset.progress, showProgress);
if (main.dataset.sending && main.dataset.begun !== "yes") tellKept(main).catch(() => {}); // told at the next visit
else if (main.dataset.sending) {
  new Sending(main);
  followProgress(main.dataset.sending, (figures) => { put(document, "processed", figures.processed); put(document, "recipients", figures.recipients); });
}
if ($("#new")) newCampaign($("#new"));
