/** argv and environment -> command -> exit. The only file that exits the process. */
import { hostname } from 'node:os';
import { text } from 'node:stream/consumers';
import { runCommand } from './cli/command.ts';
import type { ExitCode } from './cli/exit.ts';
import { EXIT } from './cli/exit.ts';
import type { ServeOrder } from './cli/serve.ts';
import type { Config, Problem } from './config/config.ts';
import type { Writ } from './compose.ts';
import { readBundleFiles } from './edges/opa/bundle.ts';
import { openPolicyEngine } from './edges/opa/engine.ts';
import { FlooredClock, SYSTEM_SOURCES } from './edges/system/clock.ts';
import { keepRequestsYoung } from './edges/system/collector.ts';
import { createPrinter } from './edges/system/printer.ts';
import { systemRandom } from './edges/system/random.ts';
import { onHangup, onStop, waitForStop } from './edges/system/signals.ts';
import { VERSION as version } from './edges/system/version.ts';
import { openLog } from './edges/telemetry/log.ts';
import { standardSink } from './edges/telemetry/sink.ts';
import { toBase64Url } from './kernel/digest.ts';
import type { Log, LogFields } from './kernel/log.ts';
import { asWritError } from './http/answer.ts';

const LOG_GRACE_MS = 1_000;

async function serve(
  config: Config,
  warnings: readonly Problem[],
  { allowOlderPolicy }: ServeOrder,
): Promise<void> {
  keepRequestsYoung();
  // Loaded here: every other command answers a third sooner without it.
  const { compose } = await import('./compose.ts');
  const { log, close } = openLog({ sink: standardSink(1) });
  try {
    for (const { key, message } of warnings)
      log.warn('the configuration weakens a promise', { key, detail: message });
    const writ = await compose({ config, log, allowOlderPolicy });
    const stopReloading = onHangup(() => void writ.reloadPolicy());
    const stopSaying = sayWhenReady(writ, log, { fleet: config.fleet, replica: config.replica, version });
    const signal = await waitForStop();
    stopSaying();
    stopReloading();
    log.info('stopping', { signal });
    await writ.close();
  } finally {
    await close(LOG_GRACE_MS);
  }
}

const LOOK_AGAIN_MS = 250;

/** `ready` is said when it is, by the measure of `/readyz`; until then what is missing is said, once. */
function sayWhenReady(writ: Writ, log: Log, fields: LogFields): () => void {
  const missing = (): string =>
    writ
      .readiness()
      .filter(({ ok }) => !ok)
      .map(({ name, detail }) => `${name}: ${detail}`)
      .join('; ');
  const first = missing();
  if (first === '') log.info('ready', fields);
  else log.warn('not ready yet', { ...fields, detail: first });
  if (first === '') return () => undefined;
  const look = setInterval(() => {
    if (missing() !== '') return;
    clearInterval(look);
    log.info('ready', fields);
  }, LOOK_AGAIN_MS);
  return () => clearInterval(look);
}

process.on('unhandledRejection', (error) => {
  // Nothing may be in an unknown state and go on saying yes.
  process.stderr.write(`INTERNAL: ${asWritError(error).message}\n`);
  process.exit(1);
});

const [printer, problems] = [createPrinter(process.stdout), createPrinter(process.stderr)];

/** What `code` is once all that was printed is out: nothing is done that nobody could read. */
async function printed(code: ExitCode): Promise<ExitCode> {
  const failure = await printer.flushed();
  // Who has read enough, as `head` does, is not told so.
  if (failure !== undefined && failure.code !== 'EPIPE')
    problems.print(`standard output: ${failure.message}`);
  await problems.flushed();
  return failure !== undefined && code === EXIT.done ? EXIT.error : code;
}

/** Ends by the signal, as who listens to none does, once what there is to say is out. A second one does not wait for that. */
function onInterrupt(say: () => void): () => void {
  const leave = onStop((signal) => {
    leave();
    say();
    void problems.flushed().then(() => process.kill(process.pid, signal));
  });
  return leave;
}

const code = await runCommand(process.argv.slice(2), {
  version,
  terminal: {
    isTerminal: process.stdout.isTTY,
    out: printer.print,
    problem: problems.print,
    read: () => text(process.stdin),
    bytes: () => process.stdin,
  },
  around: {
    env: process.env,
    cwd: process.cwd(),
    hostName: hostname(),
    suffix: toBase64Url(systemRandom.bytes(3))
      .toLowerCase()
      .replace(/[^a-z0-9]/g, 'x'),
  },
  onInterrupt,
  serve: { serve },
  // Loaded there: no other command speaks to a Redis.
  store: { init: async (store) => (await import('./edges/redis/init-store.ts')).initStore(store) },
  policy: {
    env: process.env,
    // As a server opens it, clock included: what `check` accepts, `serve` accepts.
    openEngine: (options) => openPolicyEngine({ ...options, clock: new FlooredClock(SYSTEM_SOURCES) }),
    readFiles: (bundle) => readBundleFiles(bundle),
    print: printer.print,
  },
});
process.exit(await printed(code));
