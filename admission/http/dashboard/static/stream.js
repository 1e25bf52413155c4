// The event stream of /v1/events: fetch with the token in a header (EventSource could only put it into
// the URL), parsed as server-sent events, and reconnected with exponential back-off.

const SILENCE_MS_MAX = 15000; // the server sends a comment every five seconds
const RETRY_MS_MIN = 500;
const RETRY_MS_MAX = 10000;

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

export class EventStream {
  /** on: callbacks {open(), event(name, data), broken(why), refused(status, why)}; refused: a token is needed. */
  constructor(on) {
    this.on = on;
    this.token = null;
    this.generation = 0;
  }

  headers() {
    return this.token ? { Authorization: `Bearer ${this.token}` } : {};
  }

  /** Open the stream with this token, and close the previous one. */
  async start(token) {
    this.stop();
    this.token = token;
    const generation = this.generation;
    for (let failures = 0; generation === this.generation; failures += 1) {
      const opened = await this.read(generation);
      if (opened === null || generation !== this.generation) return;
      if (opened) failures = 0;
      const wait = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** failures);
      await pause(wait * (0.5 + Math.random() / 2));
    }
  }

  stop() {
    this.generation += 1;
    this.abort?.abort();
    this.token = null;
  }

  /** -> whether the stream was open; null: do not reconnect. */
  async read(generation) {
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
      const parse = parser((name, data) => this.on.event(name, data));
      for await (const text of texts(answer.body)) {
        clearTimeout(watchdog);
        watchdog = setTimeout(() => abort.abort(), SILENCE_MS_MAX);
        if (generation !== this.generation) return null;
        parse(text);
      }
      throw new Error("The server closed the stream");
    } catch (fault) {
      if (generation === this.generation) this.on.broken(fault.name === "AbortError" ? "No data from the server" : fault.message);
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

/** A parser of text chunks; calls onEvent(name, data) for each complete event. */
export function parser(onEvent) {
  let rest = "";
  return (text) => {
    const blocks = (rest + text).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => {
        const at = line.indexOf(": ");
        return [line.slice(0, at), line.slice(at + 2)];
      }));
      if (fields.event) onEvent(fields.event, JSON.parse(fields.data));
    }
  };
}

/** The `detail` of a problem response. */
export async function detail(answer) {
  try {
    return (await answer.json()).detail;
  } catch {
    return `The server answered ${answer.status}`;
  }
}
