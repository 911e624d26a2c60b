/**
 * `writ serve` that kills its own process with SIGKILL at one named place of the real write path: the `CRASH_NTH` time
 * that `CRASH_POINT` is reached after it was ready, or, with `CRASH_AT_START`, at all. Scenes start it in the place of
 * src/main.ts.
 */
import { hostname } from 'node:os';
import { compose } from '../../src/compose.ts';
import { runCommand } from '../../src/cli/command.ts';
import type { Config } from '../../src/config/config.ts';
import { waitForStop } from '../../src/edges/system/signals.ts';
import { openLog } from '../../src/edges/telemetry/log.ts';
import { standardSink } from '../../src/edges/telemetry/sink.ts';
import type { CrashPointName } from '../../src/feed/crash-point.ts';

const { CRASH_POINT: point, CRASH_NTH: nth = '1', CRASH_AT_START: atStart } = process.env;
let isArmed = atStart !== undefined;
let reached = 0;

function crashPoint(name: CrashPointName): void {
  if (!isArmed || name !== point) return;
  reached += 1;
  // SIGKILL to oneself is delivered before kill(2) returns: nothing of this process runs after this line.
  if (reached === Number(nth)) process.kill(process.pid, 'SIGKILL');
}

async function serve(config: Config): Promise<void> {
  const { log, close } = openLog({ sink: standardSink(1) });
  const writ = await compose({ config, log, crashPoint });
  isArmed = true;
  log.info('ready');
  await waitForStop();
  await writ.close();
  await close(1_000);
}

process.exit(
  await runCommand(process.argv.slice(2), {
    version: '0',
    terminal: {
      isTerminal: false,
      out: (line) => process.stdout.write(`${line}\n`),
      problem: (line) => process.stderr.write(`${line}\n`),
      read: () => Promise.resolve(''),
      bytes: () => process.stdin,
    },
    around: { env: process.env, cwd: process.cwd(), hostName: hostname(), suffix: 'test' },
    onInterrupt: () => () => undefined,
    serve: { serve },
    policy: {
      env: {},
      openEngine: () => Promise.reject(new Error('this entry serves only')),
      readFiles: () => Promise.reject(new Error('this entry serves only')),
      print: () => undefined,
    },
    store: { init: () => Promise.reject(new Error('this entry serves only')) },
  }),
);
