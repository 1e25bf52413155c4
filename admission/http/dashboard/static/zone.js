// The newest status of one zone, and values derived from it. Ages advance by the browser's clock.

const HISTORY_MS = 15 * 60 * 1000;
const GAP_MS = 10000; // a longer pause between points interrupts the line
const STEP_MS = 1000;
const ORDER = ["channel:sip", "channel:h323"]; // then the others, by name

export class Zone {
  constructor(name) {
    this.name = name;
    this.status = null;
    this.problem = null;
    this.receivedAt = 0; // performance.now() of the newest event
    this.points = []; // [zone time, {group: [total, foreign, in_use, ceiling]}]
  }

  setStatus(status) {
    this.status = status;
    this.problem = null;
    this.receivedAt = performance.now();
    if (this.points.length && status.now < this.points.at(-1)[0] - STEP_MS) this.points = [];
    this.addPoint(status.now, portsOf(status));
  }

  /** Repeat the last point: without events nothing changed. Only while the stream is live. */
  extendHistory() {
    const [at, ports] = this.points.at(-1) ?? [];
    if (ports && !this.problem && this.now - at >= STEP_MS) this.addPoint(this.now, ports);
  }

  addPoint(now, ports) {
    const last = this.points.at(-1);
    if (!last || now - last[0] >= STEP_MS) this.points.push([now, ports]);
    else last[1] = ports;
    while (this.points[0][0] < now - HISTORY_MS) this.points.shift();
  }

  addHistory({ points }) {
    const oldest = this.points[0]?.[0] ?? Infinity;
    this.points = [...points.filter(([at]) => at < oldest), ...this.points];
  }

  setProblem(problem) {
    this.problem = problem;
  }

  /** The current age of something that was `age` old in the newest event. */
  currentAge(age) {
    return age + performance.now() - this.receivedAt;
  }

  get now() {
    return this.status.now + performance.now() - this.receivedAt;
  }

  get channels() {
    const rank = ({ pool }) => ORDER.indexOf(pool) + 1 || ORDER.length + 1;
    return this.pools("channel").sort((a, b) => rank(a) - rank(b));
  }

  pools(kind) {
    return this.status.pools.filter(({ pool }) => pool.startsWith(`${kind}:`));
  }

  get others() {
    return this.status.pools.filter(({ pool }) => !/^(channel|mpp|campaign):/.test(pool));
  }

  snapshotAge(pool) {
    return pool.snapshot ? this.currentAge(pool.snapshot.age_ms) : null;
  }

  isStale(pool) {
    const age = this.snapshotAge(pool);
    return age !== null && age > this.status.max_age_ms && pool.ceiling !== null;
  }

  isPaused(pool) {
    return pool in this.status.paused;
  }

  /** The reason code if no launch is granted on the channel, whatever room it has; else null. */
  blocked(pool) {
    if (this.isPaused("zone")) return "zone_paused";
    if (this.isPaused(pool.pool)) return "pool_paused";
    if (this.status.recovering) return "recovering";
    if (pool.limit === null) return "no_snapshot";
    if (pool.snapshot && pool.snapshot.w0 <= this.status.recover_until) return "recovering";
    return this.isStale(pool) ? "stale_snapshot" : null;
  }

  /** State for the list of zones: fine, warn, bad, or wait. */
  get state() {
    if (this.problem) return "bad";
    if (!this.status) return "wait";
    const blocked = this.pools("channel").map((pool) => this.blocked(pool));
    if (blocked.length && blocked.every(Boolean)) return "bad";
    const failing = this.status.sources.some(({ state }) => state === "failing");
    const paused = Object.keys(this.status.paused).length > 0;
    return failing || paused || blocked.some(Boolean) ? "warn" : "fine";
  }

  /** Columns for the chart: times in s, then total, total less foreign, ceiling, ours. */
  columns(group) {
    const columns = [[], [], [], [], []];
    let before = null;
    const add = (...row) => row.forEach((value, place) => columns[place].push(value));
    for (const [at, groups] of this.points) {
      if (before !== null && at - before > GAP_MS) add((before + 1) / 1000, null, null, null, null);
      before = at;
      const [total, foreign, ours, ceiling] = groups[group] ?? [null, 0, null, null];
      add(at / 1000, total, total === null ? null : total - Math.max(0, foreign ?? 0), ceiling, ours);
    }
    return columns;
  }
}

/** Channels that the platform counts together are one group, as in trends.py. */
export function portsOf(status) {
  const groups = {};
  for (const pool of status.pools.filter((one) => one.pool.startsWith("channel:"))) {
    const snapshot = pool.snapshot ?? {};
    const group = snapshot.group ?? pool.pool.slice(8);
    groups[group] ??= [snapshot.total ?? pool.capacity, snapshot.foreign ?? 0, 0, null];
    const ceiling = pool.ceiling ?? pool.limit;
    groups[group][2] += pool.in_use;
    groups[group][3] = groups[group][3] === null ? ceiling : groups[group][3] + (ceiling ?? 0);
  }
  return groups;
}
