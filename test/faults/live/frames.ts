/** Takes a stream of RESP2 apart into whole messages, whatever pieces it comes in. Their bytes are kept as they are. */
const CRLF = '\r\n';

export class Frames {
  #rest: Buffer = Buffer.alloc(0);

  /** The messages that `chunk` completes. */
  push(chunk: Buffer): Buffer[] {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const whole: Buffer[] = [];
    let from = 0;
    for (;;) {
      const end = endOf(this.#rest, from);
      if (end === undefined) break;
      whole.push(this.#rest.subarray(from, end));
      from = end;
    }
    this.#rest = this.#rest.subarray(from);
    return whole;
  }
}

/** Where the message that begins at `from` is over; undefined when it is not here to its end. */
function endOf(bytes: Buffer, from: number): number | undefined {
  const line = bytes.indexOf(CRLF, from);
  if (line < 0) return undefined;
  const after = line + CRLF.length;
  const type = String.fromCharCode(bytes[from] ?? 0);
  if (type !== '$' && type !== '*') return after;
  const size = Number(bytes.toString('latin1', from + 1, line));
  if (size < 0) return after;
  if (type === '$')
    return after + size + CRLF.length <= bytes.length ? after + size + CRLF.length : undefined;
  let end: number | undefined = after;
  for (let i = 0; i < size && end !== undefined; i++) end = endOf(bytes, end);
  return end;
}

/** What a request asks for: of FCALL the function, of anything else the command. */
export function callOf(request: Buffer): string {
  // *<n> $<n> command $<n> function
  const parts = request.toString('latin1', 0, 200).split(CRLF);
  const command = (parts[2] ?? '').toUpperCase();
  return command.startsWith('FCALL') ? (parts[4] ?? '') : command;
}
