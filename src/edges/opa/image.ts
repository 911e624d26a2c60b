/**
 * A policy's memory with its data in it, ready to evaluate: made once at load, off the loop, and copied into every
 * instance. So nobody ever calls `setData` on a live one, and one that trapped can be put back exactly.
 */
import { invalid, shown } from './bundle.ts';
import type { HostBuiltins } from './builtin.ts';
import { bytesOf, decodeUtf8, instantiate, readLatin1 } from './instance.ts';
import type { PolicyLimits } from './limits.ts';
import type { PolicyExports } from './module.ts';

export interface PolicyImage {
  /** Size of the memory it was made in. An instance's is the same, and never grows: OPA's allocator keeps its top. */
  readonly pages: number;
  /** Everything below `heapBase`. */
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  /** Where an evaluation's own memory begins. */
  readonly heapBase: number;
  /** An evaluation context below `heapBase`; its data is set. */
  readonly context: number;
  /** Name -> number. */
  readonly entrypoints: ReadonlyMap<string, number>;
  /** Number -> name of each builtin that the module calls the host for. */
  readonly builtins: ReadonlyMap<number, string>;
}

export interface BuiltImage {
  readonly image: PolicyImage;
  /** The memory it was made in, which any thread can have: as good as new for one host at a time. */
  readonly memory: WebAssembly.Memory;
}

const PAGE_BYTES = 65_536;

/** Instantiates `module` and loads `data`. Runs OPA's start function and parser, nothing of the policy. */
export function buildImage(
  module: WebAssembly.Module,
  data: Uint8Array,
  builtins: HostBuiltins,
  limits: PolicyLimits,
): BuiltImage {
  // 16 bytes for one of text do for common data; numbers and empty objects need more. Untouched pages are free.
  for (let factor = 16; ; factor *= 4) {
    const wanted = data.length * (factor + 1) + limits.inputBytesMax + limits.heapBytes;
    const pages = Math.floor(Math.min(wanted, limits.memoryBytesMax) / PAGE_BYTES);
    const built = tryImage(module, data, { pages, builtins, limits });
    if (built !== undefined) return built;
    if (wanted >= limits.memoryBytesMax)
      throw invalid("the bundle's data is too large for a policy's memory");
  }
}

interface Attempt {
  readonly pages: number;
  readonly builtins: HostBuiltins;
  readonly limits: PolicyLimits;
}

/** Undefined: the data does not fit into so many pages. */
function tryImage(
  module: WebAssembly.Module,
  data: Uint8Array,
  { pages, builtins, limits }: Attempt,
): BuiltImage | undefined {
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const exports = start(module, memory);
  const heapStart = exports.opa_heap_ptr_get();
  const names = {
    builtins: readBuiltins(exports, memory, builtins),
    entrypoints: new Map(Object.entries(readNumbers(memory, exports.opa_json_dump(exports.entrypoints())))),
  };
  exports.opa_heap_ptr_set(heapStart);
  const context = exports.opa_eval_ctx_new();
  if (!loadData(exports, memory, { data, context })) return undefined;
  const heapBase = align(exports.opa_heap_ptr_get());
  if (heapBase + limits.inputBytesMax + limits.heapBytes > memory.buffer.byteLength) return undefined;
  // Shared as the memory is: nobody has to count it, move it or collect garbage because of it.
  const bytes = new Uint8Array(new SharedArrayBuffer(heapBase));
  bytes.set(bytesOf(memory).subarray(0, heapBase));
  return { image: { pages, bytes, heapBase, context, ...names }, memory };
}

/** The next address that is good for any value. */
export function align(address: number): number {
  return (address + 7) & ~7;
}

function start(module: WebAssembly.Module, memory: WebAssembly.Memory): PolicyExports {
  let exports: PolicyExports;
  try {
    exports = instantiate(module, memory, () => 0);
  } catch (cause) {
    throw invalid('policy.wasm does not start', cause);
  }
  if (exports.opa_wasm_abi_version.value !== 1) throw invalid("policy.wasm is not of version 1 of OPA's ABI");
  return exports;
}

function readBuiltins(
  exports: PolicyExports,
  memory: WebAssembly.Memory,
  known: HostBuiltins,
): ReadonlyMap<number, string> {
  const names = new Map<number, string>();
  for (const [name, number] of Object.entries(
    readNumbers(memory, exports.opa_json_dump(exports.builtins())),
  )) {
    if (!known.has(name)) throw invalid(`builtin ${shown(name)} is not supported by Writ's policy host`);
    names.set(number, name);
  }
  return names;
}

function readNumbers(memory: WebAssembly.Memory, address: number): Record<string, number> {
  const text = readLatin1(bytesOf(memory), address, memory.buffer.byteLength) ?? '{}';
  return JSON.parse(decodeUtf8(text)) as Record<string, number>;
}

/**
 * Parses the data's text from the end of the memory, so that nothing of it stays behind. False when the values
 * have grown into the text, or the parser gave up: both mean that the memory is too small, as the text is JSON.
 */
function loadData(
  exports: PolicyExports,
  memory: WebAssembly.Memory,
  { data, context }: { data: Uint8Array; context: number },
): boolean {
  const textAt = memory.buffer.byteLength - data.length;
  bytesOf(memory).set(data, textAt);
  try {
    const value = exports.opa_json_parse(textAt, data.length);
    exports.opa_eval_ctx_set_data(context, value);
    return value !== 0 && exports.opa_heap_ptr_get() <= textAt;
  } catch {
    return false;
  }
}
