/**
 * A compiled policy.wasm and what it asks of its host: OPA's ABI 1 (https://www.openpolicyagent.org/docs/wasm).
 * What asks for more than that is refused before anything of it runs.
 */
import { invalid, shown } from './bundle.ts';
import { shareMemory } from './shared-memory.ts';

/** What OPA's modules export, as far as the host calls it. Addresses are positive: memory stays below 2 GiB. */
export interface PolicyExports {
  opa_malloc(bytes: number): number;
  opa_heap_ptr_get(): number;
  /** Also empties the free lists and the caches of compiled patterns. */
  opa_heap_ptr_set(address: number): void;
  /** 0 when the text is not JSON. */
  opa_json_parse(address: number, bytes: number): number;
  /** The address of text that ends with a zero byte. */
  opa_json_dump(value: number): number;
  opa_eval_ctx_new(): number;
  opa_eval_ctx_set_data(context: number, value: number): void;
  opa_eval_ctx_set_input(context: number, value: number): void;
  opa_eval_ctx_set_entrypoint(context: number, entrypoint: number): void;
  opa_eval_ctx_get_result(context: number): number;
  eval(context: number): number;
  builtins(): number;
  entrypoints(): number;
  readonly opa_wasm_abi_version: WebAssembly.Global;
}

const EXPORTS: readonly (keyof PolicyExports)[] = [
  'opa_malloc',
  'opa_heap_ptr_get',
  'opa_heap_ptr_set',
  'opa_json_parse',
  'opa_json_dump',
  'opa_eval_ctx_new',
  'opa_eval_ctx_set_data',
  'opa_eval_ctx_set_input',
  'opa_eval_ctx_set_entrypoint',
  'opa_eval_ctx_get_result',
  'eval',
  'builtins',
  'entrypoints',
  'opa_wasm_abi_version',
];

const IMPORTS = new Set([
  'memory',
  'opa_abort',
  'opa_println',
  'opa_builtin0',
  'opa_builtin1',
  'opa_builtin2',
  'opa_builtin3',
  'opa_builtin4',
]);

/** Compiles policy.wasm, for memory that threads can share. POLICY_INVALID when it is no module of OPA's. */
export function compileModule(wasm: Uint8Array<ArrayBuffer>): WebAssembly.Module {
  let module: WebAssembly.Module;
  try {
    module = new WebAssembly.Module(wasm);
  } catch (cause) {
    throw invalid('policy.wasm is not valid WebAssembly', cause);
  }
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    if (from !== 'env' || !IMPORTS.has(name))
      throw invalid(`policy.wasm imports ${shown(`${from}.${name}`)}, which OPA's modules do not`);
  }
  const exported = new Set(WebAssembly.Module.exports(module).map(({ name }) => name));
  for (const name of EXPORTS) {
    if (!exported.has(name)) throw invalid(`policy.wasm does not export ${name}; OPA's modules do`);
  }
  return new WebAssembly.Module(shareMemory(wasm));
}

/** The exports of an instance of a module that compileModule let through. */
export function exportsOf(instance: WebAssembly.Instance): PolicyExports {
  return instance.exports as unknown as PolicyExports;
}
