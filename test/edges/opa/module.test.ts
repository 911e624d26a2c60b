import { beforeAll, describe, expect, it } from 'vitest';
import { readBundle } from '../../../src/edges/opa/bundle.ts';
import { hostBuiltins } from '../../../src/edges/opa/builtin.ts';
import { buildImage } from '../../../src/edges/opa/image.ts';
import { POLICY_LIMITS } from '../../../src/edges/opa/limits.ts';
import { compileModule } from '../../../src/edges/opa/module.ts';
import { compile } from './bundles.ts';

let opas: Uint8Array<ArrayBuffer>;

beforeAll(async () => {
  opas = (await readBundle(await compile({ rego: 'package t\nx := 1', entrypoints: ['t/x'] }))).wasm;
});

/** The same module with one name in it spelled differently. */
function renamed(from: string, to: string): Uint8Array<ArrayBuffer> {
  expect(to.length).toBe(from.length);
  const text = Buffer.from(opas).toString('latin1');
  expect(text.includes(from)).toBe(true);
  return new Uint8Array(Buffer.from(text.replaceAll(from, to), 'latin1'));
}

/** The same module that says to be of another version of the ABI. */
function withAbiVersion(version: number): Uint8Array<ArrayBuffer> {
  const bytes = Buffer.from(opas);
  const exported = bytes.indexOf('opa_wasm_abi_version');
  const index = bytes[exported + 'opa_wasm_abi_version'.length + 1] ?? 0;
  const globals = globalInitialisers(bytes);
  const at = globals[index] ?? 0;
  expect(bytes[at]).toBe(1);
  bytes[at] = version;
  return new Uint8Array(bytes);
}

/** Offsets of the constants in the global section (id 6): type, mutability, 0x41, value, 0x0b each. */
function globalInitialisers(bytes: Buffer): number[] {
  let at = 8;
  while (bytes[at] !== 6) {
    const size = leb(bytes, at + 1);
    at = size.next + size.value;
  }
  const count = leb(bytes, leb(bytes, at + 1).next);
  const offsets: number[] = [];
  let next = count.next;
  for (let i = 0; i < count.value; i++) {
    offsets.push(next + 3);
    next = leb(bytes, next + 3).next + 1;
  }
  return offsets;
}

function leb(bytes: Buffer, at: number): { value: number; next: number } {
  let value = 0;
  for (let i = 0; ; i++) {
    const byte = bytes[at + i] ?? 0;
    value |= (byte & 0x7f) << (7 * i);
    if (byte < 0x80) return { value, next: at + i + 1 };
  }
}

describe('a module', () => {
  it('of OPA is compiled', () => {
    expect(compileModule(opas)).toBeInstanceOf(WebAssembly.Module);
  });

  it('is refused when it is no WebAssembly', () => {
    for (const bytes of [new Uint8Array(0), new Uint8Array(100), opas.slice(0, 1000)])
      expect(() => compileModule(bytes)).toThrow('policy.wasm is not valid WebAssembly');
  });

  it('is refused when it wants more of its host than OPA does', () => {
    expect(() => compileModule(renamed('opa_builtin3', 'opa_\u001b[2Jfile'))).toThrow(
      'policy.wasm imports env.opa_?[2Jfile, which',
    );
    const wasi = compileWat();
    expect(() => compileModule(wasi)).toThrow('policy.wasm imports wasi.exit, which');
  });

  it('is refused when it lacks what the host calls', () => {
    expect(() => compileModule(renamed('opa_heap_ptr_set', 'opa_heap_ptr_put'))).toThrow(
      'policy.wasm does not export opa_heap_ptr_set;',
    );
  });

  it('is refused for a version of the ABI that is not 1', () => {
    const module = compileModule(withAbiVersion(2));
    expect(() => buildImage(module, Buffer.from('{}'), hostBuiltins(undefined), POLICY_LIMITS)).toThrow(
      "policy.wasm is not of version 1 of OPA's ABI",
    );
  });

  it('is refused when it does not even start', () => {
    const limits = { ...POLICY_LIMITS, heapBytes: 0, inputBytesMax: 0, memoryBytesMax: 65_536 };
    expect(() => buildImage(compileModule(opas), Buffer.from('{}'), hostBuiltins(undefined), limits)).toThrow(
      'policy.wasm does not start',
    );
  });
});

/** (module (import "wasi" "exit" (func))) */
function compileWat(): Uint8Array<ArrayBuffer> {
  const type = [1, 4, 1, 0x60, 0, 0];
  const imported = [2, 13, 1, 4, ...Buffer.from('wasi'), 4, ...Buffer.from('exit'), 0, 0];
  return new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, ...type, ...imported]);
}
