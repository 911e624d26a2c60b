import { beforeAll, describe, expect, it } from 'vitest';
import { readBundle } from '../../../src/edges/opa/bundle.ts';
import { shareMemory } from '../../../src/edges/opa/shared-memory.ts';
import { compile } from './bundles.ts';

let opas: Uint8Array<ArrayBuffer>;
beforeAll(async () => {
  opas = (await readBundle(await compile({ rego: 'package t\nx := 1', entrypoints: ['t/x'] }))).wasm;
});

const HEADER = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
const name = (text: string): number[] => [text.length, ...Buffer.from(text)];

/** A module of a type section (one function of no arguments) and these imports. */
function importing(...imports: readonly number[][]): Uint8Array<ArrayBuffer> {
  const body = [imports.length, ...imports.flat()];
  return Uint8Array.from([...HEADER, 1, 4, 1, 0x60, 0, 0, 2, body.length, ...body]);
}

const FUNCTION = [...name('env'), ...name('f'), 0, 0];
const TABLE = [...name('env'), ...name('t'), 1, 0x70, 0, 1];
const BOUNDED_TABLE = [...name('env'), ...name('u'), 1, 0x70, 1, 1, 2];
const GLOBAL = [...name('env'), ...name('g'), 3, 0x7f, 0];
const MEMORY = [...name('env'), ...name('memory'), 2, 0, 2];
const BOUNDED_MEMORY = [...name('env'), ...name('memory'), 2, 1, 2, 0x80, 2];

/** Instantiates `wasm` with everything that the modules above import, and this memory. */
function instantiated(wasm: Uint8Array<ArrayBuffer>, pages: number): WebAssembly.Instance {
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const module = new WebAssembly.Module(wasm);
  const { Table, Global } = WebAssembly as unknown as Record<string, new (...args: unknown[]) => unknown>;
  if (Table === undefined || Global === undefined) throw new Error('no WebAssembly');
  const env = {
    memory,
    f: () => undefined,
    t: new Table({ initial: 1, element: 'anyfunc' }),
    u: new Table({ initial: 1, maximum: 2, element: 'anyfunc' }),
    g: new Global({ value: 'i32' }, 0),
  };
  return new WebAssembly.Instance(module, { env });
}

describe('a module whose memory is shared', () => {
  it('asks for shared memory and is the same otherwise', () => {
    const shared = shareMemory(opas);
    const [before, after] = [opas, shared].map((wasm) => new WebAssembly.Module(wasm));
    if (before === undefined || after === undefined) throw new Error('no modules');
    expect(WebAssembly.Module.imports(after)).toEqual(WebAssembly.Module.imports(before));
    expect(WebAssembly.Module.exports(after)).toEqual(WebAssembly.Module.exports(before));
    // Three bytes more at most: the upper bound of the memory.
    expect(shared.length - opas.length).toBeLessThanOrEqual(4);
  });

  it.each([
    ['alone', [MEMORY]],
    ['with an upper bound of its own', [BOUNDED_MEMORY]],
    ['behind every other kind of import', [FUNCTION, TABLE, BOUNDED_TABLE, GLOBAL, MEMORY]],
    ['before others', [MEMORY, FUNCTION, GLOBAL]],
  ])('may import it %s', (_name, imports) => {
    const wasm = importing(...imports);
    expect(() => instantiated(wasm, 2)).toThrow();
    expect(instantiated(shareMemory(wasm), 2)).toBeInstanceOf(WebAssembly.Instance);
  });

  it('keeps the bounds that the module has', () => {
    const shared = shareMemory(importing(BOUNDED_MEMORY));
    expect(instantiated(shared, 256)).toBeInstanceOf(WebAssembly.Instance);
    expect(() => instantiated(shared, 257)).toThrow();
    expect(() => instantiated(shared, 1)).toThrow();
  });

  it('must import one', () => {
    expect(() => shareMemory(importing(FUNCTION))).toThrow('policy.wasm imports no memory');
    expect(() => shareMemory(Uint8Array.from(HEADER))).toThrow('policy.wasm imports nothing');
  });
});
