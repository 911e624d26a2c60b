/**
 * Everything between a bundle's bytes and a policy that may run on the loop: unpack, compile, load the data, test.
 * It takes hundreds of milliseconds for large data and as long as it likes for a bad policy, so prepare-worker.ts
 * runs it on a thread of its own.
 */
import type { Clock } from '../../kernel/clock.ts';
import type { InputPath } from './bundle.ts';
import { bundleOf, digestOf, invalid, readBundleFiles, shown } from './bundle.ts';
import { hostBuiltins } from './builtin.ts';
import { PolicyHost } from './host.ts';
import { buildImage } from './image.ts';
import type { PolicyImage } from './image.ts';
import type { PolicyLimits } from './limits.ts';
import { compileModule } from './module.ts';
import { requireAnswer, selfTest } from './self-test.ts';
import type { SigningRule } from './signature.ts';
import { verifySignature } from './signature.ts';

/** All of it can be posted from one thread to another. */
export interface PreparedPolicy {
  readonly digest: string;
  readonly revision: string | undefined;
  readonly module: WebAssembly.Module;
  readonly image: PolicyImage;
  /** What it was tested in; the thread that prepared it does not touch it again. */
  readonly memory: WebAssembly.Memory;
  readonly inputPaths: readonly InputPath[] | undefined;
  readonly isPure: boolean;
  /** Builtins in the module that are slow enough to say so: `regex`, `glob`. */
  readonly slowBuiltins: readonly string[];
  readonly typicalUs: number;
  readonly worstUs: number;
}

export interface PrepareOptions {
  readonly bundle: Uint8Array;
  readonly entrypoint: string;
  /** Whether the host will have a clock, so that `time.now_ns` can be supplied. */
  readonly hasClock: boolean;
  readonly limits: PolicyLimits;
  /** Undefined: bundles need no signature. */
  readonly signing?: SigningRule;
}

/** Where the thread finds the bundle. */
export interface BundleAt {
  readonly bundle: Uint8Array | { readonly file: string };
  /** The digest of a bundle that need not be prepared again. */
  readonly unlessDigest?: string;
}

/** POLICY_INVALID says why the bundle is refused. `onLoaded` is called when nothing but the self-test is left. */
export async function preparePolicy(options: PrepareOptions, onLoaded: () => void): Promise<PreparedPolicy> {
  const { limits } = options;
  const files = await readBundleFiles(options.bundle, limits);
  if (options.signing !== undefined) await verifySignature(files, options.signing);
  const bundle = bundleOf(files, digestOf(options.bundle), limits);
  const module = compileModule(bundle.wasm);
  const builtins = hostBuiltins(options.hasClock ? LOAD_CLOCK : undefined);
  const { image, memory } = buildImage(module, bundle.data, builtins, limits);
  requireEntrypoints(image.entrypoints, [...bundle.entrypoints, options.entrypoint]);
  const host = new PolicyHost({ module, image, builtins, limits }, memory);
  onLoaded();
  requireAnswer(host, image, bundle.inputPaths, options.entrypoint);
  return {
    digest: bundle.digest,
    revision: bundle.revision,
    module,
    image,
    memory,
    inputPaths: bundle.inputPaths,
    isPure: [...image.builtins.values()].every((name) => builtins.get(name)?.isPure),
    slowBuiltins: SLOW_BUILTINS.filter((name) => Buffer.from(bundle.wasm).includes(`opa_${name}_`)),
    ...selfTest(host, image, bundle.inputPaths, limits.evaluationMsMax),
  };
}

/** Patterns cost 3.4 µs a match (DESIGN 8). opa leaves out of a module, and of its name section, what no rule calls. */
const SLOW_BUILTINS = ['regex', 'glob'];

/** For self-tests only, whose answers nobody sees. */
const LOAD_CLOCK: Clock = { now: () => ({ monoMs: performance.now(), wallMs: Date.now() }) };

function requireEntrypoints(existing: ReadonlyMap<string, number>, wanted: readonly string[]): void {
  for (const name of wanted) {
    if (!existing.has(name))
      throw invalid(
        `the bundle has no entrypoint ${shown(name)}; it has ${[...existing.keys()].map(shown).join(', ')}`,
      );
  }
}
