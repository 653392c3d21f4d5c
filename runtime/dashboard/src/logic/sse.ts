// Server-sent events out of chunks of text, as the standard tells it.

export interface Message {
  name: string;
  data: string;
}

/** The most characters of one message: more means that something is wrong at the other end. */
export const LONGEST_MESSAGE = 64 << 20;

export class Parser {
  /** The id of the latest message that had one; a new connection says it, to be sent only what is newer. */
  last = "";
  private rest = "";
  private name = "";
  private data: string[] = [];
  private size = 0;

  /** Takes a chunk, and gives the messages that it ends. */
  take(chunk: string): Message[] {
    const whole = this.rest + chunk;
    // A line break that may be half of one waits for its other half.
    const end = whole.endsWith("\r") ? whole.length - 1 : whole.length;
    const lines = whole.slice(0, end).split(/\r\n|\n|\r/u);
    this.rest = (lines.pop() ?? "") + whole.slice(end);
    if (this.rest.length + this.size > LONGEST_MESSAGE) throw new Error("a message has no end");
    return lines.flatMap((line) => this.line(line) ?? []);
  }

  private line(line: string): Message | undefined {
    if (line === "") return this.dispatch();
    const colon = line.indexOf(":");
    // A line that begins with a colon is a comment, sent to keep the connection alive.
    if (colon === 0) return undefined;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "event") this.name = value;
    else if (field === "id" && !value.includes("\0")) this.last = value;
    else if (field === "data") {
      this.data.push(value);
      this.size += value.length;
    }
    return undefined;
  }

  private dispatch(): Message | undefined {
    const { name, data } = this;
    this.name = "";
    this.data = [];
    this.size = 0;
    return data.length === 0 ? undefined : { name: name || "message", data: data.join("\n") };
  }
}
