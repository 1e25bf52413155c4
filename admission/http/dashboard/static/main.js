// The dashboard: events of the server update zones, the selected zone is rendered.
//
// Numbers are drawn when an event arrives, at most four times a second; ages every half second. When
// the event stream is broken, the page shows a banner and greys the numbers out.

import { Actions } from "./actions.js";
import { PortChart } from "./chart.js";
import { attribute, byId, el, Keyed, write } from "./dom.js";
import { duration, number } from "./format.js";
import { Learned } from "./learned.js";
import { Lists } from "./lists.js";
import { Pools } from "./pools.js";
import { EventStream } from "./stream.js";
import { Tiles } from "./tiles.js";
import { Zone } from "./zone.js";

const TICK_MS = 500;
const CHART_MS = 1000;
const THEMES = ["auto", "light", "dark"];

const zones = new Map();
let selected = null;
let connection = { state: "wait", since: performance.now(), why: "" };
let drawn = 0; // when the chart was drawn last

const stream = new EventStream({
  open() {
    setConnection("live");
    byId("sign-in").hidden = true;
  },
  event(name, data) {
    handlers[name]?.(data);
  },
  broken(why) {
    setConnection("broken", why);
  },
  refused(status, why) {
    setConnection("refused");
    byId("board").hidden = true;
    byId("sign-in").hidden = false;
    byId("sign-out").hidden = true;
    write(byId("sign-in-fault"), stream.token ? why : "");
    byId("token").focus();
  },
});

const actions = new Actions(stream);
const tiles = new Tiles();
const chart = new PortChart();
const pools = new Pools(actions);
const learned = new Learned();
const lists = new Lists();
const tabs = new Keyed(byId("zones"), zoneTab);

const handlers = {
  hello(hello) {
    actions.mayAct = hello.role === "operator";
    for (const name of [...zones.keys()].filter((one) => !hello.zones.includes(one))) zones.delete(name);
    for (const name of hello.zones) if (!zones.has(name)) zones.set(name, new Zone(name));
    if (!zones.has(selected)) select(hello.zones[0] ?? null);
    byId("sign-out").hidden = !stream.token;
    write(byId("who"), `${hello.name}, ${hello.role} · admission ${hello.version}`);
  },
  history(history) {
    zones.get(history.zone)?.addHistory(history);
    drawn = 0;
  },
  zone(status) {
    zones.get(status.zone)?.setStatus(status);
    if (status.zone === selected) render();
    else renderTabs();
  },
  problem({ zone, problem }) {
    zones.get(zone)?.setProblem(problem);
    render();
  },
};

function setConnection(state, why = "") {
  if (connection.state !== state) connection = { state, since: performance.now(), why };
  connection.why = why;
  tick();
}

function zoneTab(name) {
  const free = el("b");
  const dot = el("span", { className: "dot" });
  const element = el("button", { type: "button", className: "tab zone" }, dot, name, free);
  element.addEventListener("click", () => select(name));
  return {
    element,
    update(zone) {
      attribute(element, "aria-pressed", name === selected);
      dot.dataset.state = zone.state;
      const room = zone.status ? zone.pools("channel").map((pool) => (zone.blocked(pool) ? 0 : pool.room ?? 0)) : [];
      write(free, zone.status ? number(room.reduce((sum, n) => sum + n, 0)) : "–");
      attribute(element, "aria-label", `Zone ${name}: ${free.textContent} may launch, state ${zone.state}`);
    },
  };
}

function select(name) {
  selected = name;
  actions.zone = zones.get(name) ?? null;
  drawn = 0;
  render();
}

function renderTabs() {
  tabs.update([...zones.values()], ({ name }) => name);
}

function render() {
  renderTabs();
  const zone = zones.get(selected);
  byId("board").hidden = !zone?.status || connection.state === "refused";
  if (!zone?.status) return;
  renderHead(zone);
  tiles.update(zone);
  pools.update(zone);
  learned.update(zone);
  lists.update(zone);
  if (performance.now() - drawn >= CHART_MS) {
    drawn = performance.now();
    chart.update(zone);
  }
}

const STATES = { fine: "ok", warn: "see the notes", bad: "no launches granted" };

function renderHead(zone) {
  write(byId("zone-name"), zone.name);
  write(byId("zone-state"), zone.problem ? "unavailable" : STATES[zone.state]);
  byId("zone-state").dataset.state = zone.state;
  const button = byId("zone-pause");
  write(button, zone.isPaused("zone") ? "Resume zone" : "Pause zone");
  button.hidden = !actions.mayAct;
}

const CONNECTION_STATES = {
  wait: () => "Connecting",
  live: () => "Live",
  broken: () => "Not live",
  refused: () => "Signed out",
};

function tick() {
  const zone = zones.get(selected);
  const stale = connection.state === "broken" || Boolean(zone?.problem);
  attribute(byId("link"), "data-state", connection.state);
  write(byId("link-text"), CONNECTION_STATES[connection.state]());
  attribute(byId("board"), "data-stale", stale ? "" : null);
  renderBanner(stale, zone);
  if (connection.state === "live") for (const one of zones.values()) if (one.status) one.extendHistory();
  if (zone?.status && !stale) render();
  document.title = connection.state === "live" && zone ? `${zone.name} · admission` : `${CONNECTION_STATES[connection.state]()} · admission`;
}

/** A banner with the age of the numbers, while they are not live. */
function renderBanner(stale, zone) {
  let banner = byId("stale");
  if (!stale || byId("board").hidden) {
    banner?.remove();
    return;
  }
  if (!banner) {
    banner = el("p", { id: "stale", className: "stale", role: "alert" });
    byId("board").prepend(banner);
  }
  const since = zone?.status ? performance.now() - zone.receivedAt : performance.now() - connection.since;
  const why = connection.state === "broken" ? connection.why : zone.problem.detail;
  write(banner, `These numbers are ${duration(5000 * Math.floor(since / 5000))} old or more. ${why}. Reconnecting.`);
}

byId("zone-pause").addEventListener("click", () => {
  const zone = zones.get(selected);
  const calls = zone.pools("channel").reduce((sum, { in_use: n }) => sum + n, 0);
  actions.ask("zone", `zone ${selected}`, { verb: "Pause", kind: "pause" }, calls);
});

byId("sign-in-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const token = byId("token").value.trim();
  byId("token").value = "";
  setConnection("wait");
  stream.start(token);
});

byId("sign-out").addEventListener("click", () => {
  zones.clear();
  selected = null;
  stream.start(null);
});

function setTheme(name) {
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  write(byId("theme"), `Theme: ${name}`);
  chart.repaint();
}

byId("theme").addEventListener("click", () => {
  const now = document.documentElement.dataset.theme ?? "auto";
  setTheme(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => chart.repaint());

setInterval(tick, TICK_MS);
stream.start(null);
