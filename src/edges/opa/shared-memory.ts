/**
 * Makes a policy's module ask for memory that threads can share (WebAssembly threads proposal): then the thread that
 * loads a bundle hands its memory over as it is, and the loop allocates nothing of what may be hundreds of megabytes. Called by prepare.ts. Changes one import and nothing that runs.
 */
import { invalid } from './bundle.ts';

const HEADER_BYTES = 8;
const IMPORT_SECTION = 2;
/** Kinds of imports (core specification 5.5.5). */
const KIND = { function: 0, table: 1, memory: 2, global: 3 } as const;
const HAS_MAXIMUM = 1;
const SHARED_WITH_MAXIMUM = 3;
const PAGES_MAX = 65_536;

/** The same module with its memory import shared. POLICY_INVALID when it imports none. */
export function shareMemory(wasm: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const reader = new Reader(wasm, HEADER_BYTES);
  while (reader.at < wasm.length) {
    const section = { from: reader.at, id: reader.byte(), bytes: reader.number() };
    const end = reader.at + section.bytes;
    if (section.id === IMPORT_SECTION) {
      const body = sharedImports(reader, end);
      return Uint8Array.from(
        Buffer.concat([
          wasm.subarray(0, section.from),
          Uint8Array.of(IMPORT_SECTION, ...encoded(body.length)),
          body,
          wasm.subarray(end),
        ]),
      );
    }
    reader.at = end;
  }
  throw invalid('policy.wasm imports nothing');
}

function sharedImports(reader: Reader, end: number): Buffer {
  const from = reader.at;
  for (let left = reader.number(); left > 0; left--) {
    reader.name();
    reader.name();
    const kind = reader.byte();
    const limitsAt = reader.at;
    if (kind !== KIND.memory) {
      reader.skipImport(kind);
      continue;
    }
    const flags = reader.byte();
    const minimum = reader.number();
    const maximum = (flags & HAS_MAXIMUM) === 0 ? PAGES_MAX : reader.number();
    return Buffer.concat([
      reader.bytes.subarray(from, limitsAt),
      Uint8Array.of(SHARED_WITH_MAXIMUM, ...encoded(minimum), ...encoded(maximum)),
      reader.bytes.subarray(reader.at, end),
    ]);
  }
  throw invalid('policy.wasm imports no memory');
}

/** Unsigned LEB128. */
function encoded(number: number): number[] {
  const bytes: number[] = [];
  let rest = number;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return [...bytes, rest];
}

/** A module that V8 has compiled is well-formed, so nothing here is checked twice. */
class Reader {
  readonly bytes: Uint8Array<ArrayBuffer>;
  at: number;

  constructor(bytes: Uint8Array<ArrayBuffer>, at: number) {
    this.bytes = bytes;
    this.at = at;
  }

  byte(): number {
    return this.bytes[this.at++] ?? 0;
  }

  number(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.byte();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
  }

  name(): void {
    const length = this.number();
    this.at += length;
  }

  skipImport(kind: number): void {
    if (kind === KIND.function) this.number();
    else if (kind === KIND.global) this.at += 2;
    else {
      this.byte();
      if ((this.byte() & HAS_MAXIMUM) !== 0) this.number();
      this.number();
    }
  }
}
