/**
 * Everything between a bundle's bytes and a policy that may run on the loop: unpack, compile, load the data, test.
 * It takes hundreds of milliseconds for large data and as long as it likes for a bad policy, so prepare-worker.ts
 * runs it on a thread of its own.
 */
import type { Clock } from '../../kernel/clock.ts';
import type { InputPath } from './bundle.ts';
import { invalid, readBundle, shown } from './bundle.ts';
import { hostBuiltins } from './builtin.ts';
import { PolicyHost } from './host.ts';
import { buildImage } from './image.ts';
import type { PolicyImage } from './image.ts';
import type { PolicyLimits } from './limits.ts';
import { compileModule } from './module.ts';
import { selfTest } from './self-test.ts';

/** All of it can be posted from one thread to another. */
export interface PreparedPolicy {
  readonly digest: string;
  readonly module: WebAssembly.Module;
  readonly image: PolicyImage;
  readonly inputPaths: readonly InputPath[] | undefined;
  readonly isPure: boolean;
  readonly typicalUs: number;
  readonly worstUs: number;
}

export interface PrepareOptions {
  readonly bundle: Uint8Array;
  readonly entrypoint: string;
  /** Whether the host will have a clock, so that `time.now_ns` can be supplied. */
  readonly hasClock: boolean;
  readonly limits: PolicyLimits;
}

/** POLICY_INVALID says why the bundle is refused. `onLoaded` is called when nothing but the self-test is left. */
export async function preparePolicy(options: PrepareOptions, onLoaded: () => void): Promise<PreparedPolicy> {
  const { limits } = options;
  const bundle = await readBundle(options.bundle, limits);
  const module = compileModule(bundle.wasm);
  const builtins = hostBuiltins(options.hasClock ? LOAD_CLOCK : undefined);
  const { image, memory } = buildImage(module, bundle.data, builtins, limits);
  requireEntrypoints(image.entrypoints, [...bundle.entrypoints, options.entrypoint]);
  const host = new PolicyHost({ module, image, builtins, limits }, memory);
  onLoaded();
  return {
    digest: bundle.digest,
    module,
    image,
    inputPaths: bundle.inputPaths,
    isPure: [...image.builtins.values()].every((name) => builtins.get(name)?.isPure),
    ...selfTest(host, image, bundle.inputPaths, limits.evaluationMsMax),
  };
}

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
