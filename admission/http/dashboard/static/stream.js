// The line to /v1/events: fetch with the token in a header (EventSource could only put it into the
// URL), read as server-sent events, and opened again when it breaks.

const SILENCE_MS_MAX = 15000; // the server says something every five seconds
const RETRY_MS_MIN = 500;
const RETRY_MS_MAX = 10000;

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

export class Line {
  /** on: {open(), event(name, data), broken(why), refused(status, why)}; refused: it needs a token. */
  constructor(on) {
    this.on = on;
    this.token = null;
    this.turn = 0;
  }

  headers() {
    return this.token ? { Authorization: `Bearer ${this.token}` } : {};
  }

  /** Open, with this token, instead of what was open before. */
  async start(token) {
    this.stop();
    this.token = token;
    const turn = this.turn;
    for (let failures = 0; turn === this.turn; failures += 1) {
      const opened = await this.read(turn);
      if (opened === null || turn !== this.turn) return;
      if (opened) failures = 0;
      const wait = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** failures);
      await pause(wait * (0.5 + Math.random() / 2));
    }
  }

  stop() {
    this.turn += 1;
    this.abort?.abort();
    this.token = null;
  }

  /** -> whether it was open; null: no use in trying again. */
  async read(turn) {
    this.abort = new AbortController();
    const abort = this.abort;
    let opened = false;
    let watchdog = setTimeout(() => abort.abort(), SILENCE_MS_MAX);
    try {
      const answer = await fetch("v1/events", { headers: this.headers(), signal: abort.signal, cache: "no-store" });
      if (answer.status === 401 || answer.status === 403) {
        this.on.refused(answer.status, await detail(answer));
        return null;
      }
      if (!answer.ok) throw new Error(await detail(answer));
      opened = true;
      this.on.open();
      const take = parser((name, data) => this.on.event(name, data));
      for await (const text of texts(answer.body)) {
        clearTimeout(watchdog);
        watchdog = setTimeout(() => abort.abort(), SILENCE_MS_MAX);
        if (turn !== this.turn) return null;
        take(text);
      }
      throw new Error("The server closed the stream");
    } catch (fault) {
      if (turn === this.turn) this.on.broken(fault.name === "AbortError" ? "The server is silent" : fault.message);
      return opened;
    } finally {
      clearTimeout(watchdog);
      abort.abort();
    }
  }
}

async function* texts(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    yield value;
  }
}

/** Takes pieces of text, calls back with each whole event. */
export function parser(tell) {
  let rest = "";
  return (text) => {
    const blocks = (rest + text).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => {
        const at = line.indexOf(": ");
        return [line.slice(0, at), line.slice(at + 2)];
      }));
      if (fields.event) tell(fields.event, JSON.parse(fields.data));
    }
  };
}

/** What the problem of an answer says. */
export async function detail(answer) {
  try {
    return (await answer.json()).detail;
  } catch {
    return `The server answered ${answer.status}`;
  }
}
