/**
 * Evaluates a policy on one instance. This is OPA's `opa_eval` in its own steps (wasm/src/context.c), because
 * opa_eval takes input that it cannot parse for undefined, and a policy may allow on that. Synchronous; throws
 * nothing. An instance that trapped is dropped, and the next evaluation runs on a new one in restored memory.
 */
import { turns } from '../../kernel/turns.ts';
import type { HostBuiltin, HostBuiltins } from './builtin.ts';
import { align } from './image.ts';
import type { PolicyImage } from './image.ts';
import { PolicyAbort, bytesOf, instantiate, readLatin1 } from './instance.ts';
import type { PolicyLimits } from './limits.ts';
import type { PolicyExports } from './module.ts';

/** Why an evaluation has no result. A value, and one of the two kinds of answer that the port knows as an error. */
export interface PolicyFailure {
  readonly kind: 'error';
  readonly detail: string;
}

export const FAILURE = {
  inputTooLarge: { kind: 'error', detail: 'input too large' },
  inputNotText: { kind: 'error', detail: 'input holds half a surrogate pair' },
  inputNotJson: { kind: 'error', detail: 'input is not JSON' },
  resultTooLarge: { kind: 'error', detail: 'result too large' },
  outOfMemory: { kind: 'error', detail: 'policy out of memory' },
  conflict: { kind: 'error', detail: 'policy rules conflict' },
  trapped: { kind: 'error', detail: 'policy trapped' },
} as const satisfies Record<string, PolicyFailure>;

export interface PolicyHostParts {
  readonly module: WebAssembly.Module;
  readonly image: PolicyImage;
  readonly builtins: HostBuiltins;
  readonly limits: PolicyLimits;
}

const COPY_BYTES = 256 * 1024;

export class PolicyHost {
  readonly #parts: PolicyHostParts;
  readonly #memory: WebAssembly.Memory;
  #bytes: Buffer;
  #inputArea: Uint8Array;
  readonly #encoder = new TextEncoder();
  readonly #builtins: ReadonlyMap<number, HostBuiltin>;
  readonly #called = new Map<number, string>();
  #exports: PolicyExports | undefined;

  /** In `memory`, of the image's size. Copies the image in slices, so that much data does not hold up the loop. */
  static async open(parts: PolicyHostParts, memory: WebAssembly.Memory): Promise<PolicyHost> {
    const host = new PolicyHost(parts, memory);
    host.#exports = host.#instantiate();
    const { bytes } = parts.image;
    for (let at = 0; at < bytes.length; at += COPY_BYTES) {
      host.#bytes.set(bytes.subarray(at, at + COPY_BYTES), at);
      await turns.next();
    }
    return host;
  }

  /** In `memory`, of the image's size. The first evaluation copies the image. */
  constructor(parts: PolicyHostParts, memory: WebAssembly.Memory) {
    this.#parts = parts;
    this.#memory = memory;
    this.#bytes = bytesOf(memory);
    this.#inputArea = this.#bytes;
    this.#builtins = builtinsByNumber(parts.image.builtins, parts.builtins);
  }

  /** The bytes of the result, one character each: `[{"result":…}]`, `[]` when it is undefined. */
  evaluate(entrypoint: number, json: string): string | PolicyFailure {
    try {
      this.#exports ??= this.#restore();
      return this.#run(this.#exports, entrypoint, json);
    } catch (cause) {
      this.#exports = undefined;
      return failureOf(cause);
    }
  }

  #run(exports: PolicyExports, entrypoint: number, json: string): string | PolicyFailure {
    // encodeInto stops silently where the area ends.
    const { read, written } = this.#encoder.encodeInto(json, this.#inputArea);
    if (read !== json.length) return FAILURE.inputTooLarge;
    const { heapBase, context } = this.#parts.image;
    if (this.#called.size > 0) this.#called.clear();
    exports.opa_heap_ptr_set(align(heapBase + written));
    const input = exports.opa_json_parse(heapBase, written);
    if (input === 0) return FAILURE.inputNotJson;
    exports.opa_eval_ctx_set_input(context, input);
    exports.opa_eval_ctx_set_entrypoint(context, entrypoint);
    if (exports.eval(context) !== 0) throw new PolicyAbort('eval failed');
    const result = exports.opa_json_dump(exports.opa_eval_ctx_get_result(context));
    return readLatin1(this.#bytes, result, this.#parts.limits.resultBytesMax) ?? FAILURE.resultTooLarge;
  }

  /**
   * A new instance has its own stack, table and globals; the copy puts back everything below the heap, OPA's
   * allocator included. What the trapped evaluation left above is garbage to OPA anyway.
   */
  #restore(): PolicyExports {
    const exports = this.#instantiate();
    this.#bytes.set(this.#parts.image.bytes);
    return exports;
  }

  #instantiate(): PolicyExports {
    const { module, image, limits } = this.#parts;
    const exports = instantiate(module, this.#memory, (builtin) => this.#call(builtin));
    // OPA's start function asks for no more memory, and even that makes a new buffer of the old one.
    this.#bytes = bytesOf(this.#memory);
    this.#inputArea = this.#bytes.subarray(image.heapBase, image.heapBase + limits.inputBytesMax);
    return exports;
  }

  #call(number: number): number {
    const exports = this.#exports;
    const json = this.#called.get(number) ?? this.#builtins.get(number)?.call();
    if (exports === undefined || json === undefined) throw new PolicyAbort('unknown builtin');
    this.#called.set(number, json);
    const bytes = Buffer.from(json);
    const address = exports.opa_malloc(bytes.length);
    this.#bytes.set(bytes, address);
    return exports.opa_json_parse(address, bytes.length);
  }
}

function builtinsByNumber(
  names: ReadonlyMap<number, string>,
  known: HostBuiltins,
): ReadonlyMap<number, HostBuiltin> {
  const builtins = new Map<number, HostBuiltin>();
  for (const [number, name] of names) {
    const builtin = known.get(name);
    if (builtin !== undefined) builtins.set(number, builtin);
  }
  return builtins;
}

/** Nobody branches on messages here but on OPA's own constants (wasm/src/malloc.c, internal/compiler/wasm). */
function failureOf(cause: unknown): PolicyFailure {
  if (!(cause instanceof PolicyAbort)) return FAILURE.trapped;
  if (cause.message === 'opa_malloc: failed') return FAILURE.outOfMemory;
  return cause.message.endsWith(' conflict') ? FAILURE.conflict : FAILURE.trapped;
}
