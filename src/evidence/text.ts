/**
 * Bytes of a proof -> text. Strict UTF-8, because a lenient decoder reads several byte strings as one text, and
 * then a byte of a receipt could be altered without anyone noticing. Called by the verifiers and by the CLI.
 */
import { isUtf8 } from 'node:buffer';
import { demand, demandReadable } from './demand.ts';

/** The longest line of an export that is read: an entry of 1,000 targets with long names is about 4 MiB. */
export const LINE_CHARS_MAX = 8 * 1024 * 1024;

/** The text of `bytes`, a byte order mark included; PROOF_INVALID unless they are UTF-8 (a string: well formed). */
export function parseText(bytes: Uint8Array | string): string {
  demand(typeof bytes === 'string' ? bytes.isWellFormed() : isUtf8(bytes), 'proof is not UTF-8');
  if (typeof bytes === 'string') return bytes;
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

/** The lines of `chunks`, without their newlines. The last one must end in a newline too. */
export async function* splitLines(
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let rest = '';
  for await (const chunk of chunks) {
    const more = demandReadable(() => decoder.decode(chunk, { stream: true }), NOT_UTF8);
    // Not in `rest`: a line that comes in very many chunks would be searched at each.
    const end = more.lastIndexOf('\n');
    if (end >= 0) yield* (rest + more.slice(0, end)).split('\n');
    rest = end >= 0 ? more.slice(end + 1) : rest + more;
    demand(rest.length <= LINE_CHARS_MAX, 'export has a line that is too long');
  }
  rest += demandReadable(() => decoder.decode(), NOT_UTF8);
  demand(rest === '', 'export does not end in a newline');
}

const NOT_UTF8 = 'export is not UTF-8';
