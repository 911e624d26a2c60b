/**
 * Instantiates a policy module and reads what it leaves in memory. Used by image.ts (once, at load) and host.ts.
 * Nothing a policy does reaches the console: OPA's print is swallowed, its abort becomes PolicyAbort.
 */
import type { PolicyExports } from './module.ts';
import { exportsOf } from './module.ts';

/** What opa_abort was called with: a constant of OPA's, or where in the Rego a rule contradicted itself. */
export class PolicyAbort extends Error {
  override readonly name = 'PolicyAbort';
}

/** Calls the builtin of that number; returns the address of its value. No builtin of the host's takes arguments. */
export type CallBuiltin = (builtin: number) => number;

/** Runs the module's start function. Throws what WebAssembly throws. */
export function instantiate(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  call: CallBuiltin,
): PolicyExports {
  const env = {
    memory,
    opa_abort: (address: number) => {
      throw new PolicyAbort(readLatin1(bytesOf(memory), address, ABORT_BYTES_MAX) ?? '');
    },
    opa_println: () => undefined,
    opa_builtin0: call,
    opa_builtin1: call,
    opa_builtin2: call,
    opa_builtin3: call,
    opa_builtin4: call,
  };
  return exportsOf(new WebAssembly.Instance(module, { env }));
}

const ABORT_BYTES_MAX = 1_024;

/** The whole of `memory`. Stays valid until the memory is grown or used for another instance. */
export function bytesOf(memory: WebAssembly.Memory): Buffer {
  return Buffer.from(memory.buffer);
}

/** The bytes up to the next zero, one character each; undefined when there is none within `bytesMax`. */
export function readLatin1(bytes: Buffer, address: number, bytesMax: number): string | undefined {
  const end = bytes.indexOf(0, address);
  return end < 0 || end - address > bytesMax ? undefined : bytes.toString('latin1', address, end);
}

/** The text that readLatin1's bytes are in UTF-8. */
export function decodeUtf8(latin1: string): string {
  return Buffer.from(latin1, 'latin1').toString('utf8');
}
