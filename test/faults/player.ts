/** A thread of run.ts: plays the runs it is told to and says what each has shown. */
import { registerHooks } from 'node:module';
import { parentPort, workerData } from 'node:worker_threads';

export interface Part {
  readonly first: number;
  readonly stride: number;
  readonly runs: number;
  readonly seconds: number;
  /** As `simulate` takes them. */
  readonly favoured: readonly string[];
  /** The history of every run, not only of those in which something did not hold. */
  readonly history: boolean;
}

/** Who imports what -> what comes in its place. */
const LIGHT: readonly (readonly [importer: RegExp, specifier: string, light: string])[] = [
  [/\/src\/kernel\/key\.ts$/, 'node:crypto', 'light-signatures.ts'],
];
registerHooks({
  resolve: (specifier, context, next) => {
    const light = LIGHT.find(
      ([importer, name]) => name === specifier && importer.test(context.parentURL ?? ''),
    )?.[2];
    return light === undefined
      ? next(specifier, context)
      : { url: new URL(light, import.meta.url).href, shortCircuit: true };
  },
});
const { simulate } = await import('./simulate.ts');

const { first, stride, runs, seconds, favoured, history } = workerData as Part;
const endsMs = performance.now() + 1000 * seconds;
for (let i = 0; i < runs && performance.now() < endsMs; i++) {
  const outcome = await simulate(first + i * stride, favoured);
  const isTold = history || outcome.violations.length > 0;
  parentPort?.postMessage(isTold ? outcome : { ...outcome, log: [] });
}
