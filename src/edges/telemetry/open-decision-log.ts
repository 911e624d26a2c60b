/** The decision log as the configuration wants it: its sink, its mask, its limits. Called once, by compose. */
import type { DecisionLogConfig } from '../../config/config.ts';
import type { Log } from '../../kernel/log.ts';
import { unreachable } from '../../kernel/unreachable.ts';
import { COLLECTOR_RULES, createCollectorSink } from './collector-sink.ts';
import type { EventSources } from './decision-event.ts';
import { DecisionLog } from './decision-log.ts';
import { DecisionMask } from './decision-mask.ts';
import type { OpenSink } from './file-sink.ts';
import { openFileSink } from './file-sink.ts';
import { standardSink } from './sink.ts';

export interface DecisionLogPorts {
  readonly config: DecisionLogConfig;
  readonly sources: EventSources;
  /** Derived from the fleet key: one subject has one pseudonym in the whole fleet. */
  readonly pseudonymKey: Uint8Array;
  readonly log: Log;
}

export interface OpenDecisionLog {
  readonly decisionLog: DecisionLog;
  /** Gets out what waits, within its own grace, and lets go of the sink. */
  close(): Promise<void>;
}

/** Of one file; the one before is kept beside it. */
const FILE_BYTES_MAX = 256 * 1024 * 1024;
const CLOSE_MS = 1_500;

/** Undefined when none is configured. CONFIG_INVALID when its file cannot be written. */
export async function openDecisionLog(ports: DecisionLogPorts): Promise<OpenDecisionLog | undefined> {
  const { config, sources, pseudonymKey, log } = ports;
  const sink = await openSink(config, log);
  if (sink === undefined) return undefined;
  const decisionLog = new DecisionLog({
    sink: sink.write,
    sources,
    log,
    mask: new DecisionMask({
      pointers: config.mask,
      pseudonymKey: config.subjects === 'pseudonym' ? pseudonymKey : undefined,
    }),
    recordMs: config.requiredWaitMs,
    chunkLinesMax: CHUNK_LINES_MAX,
  });
  const close = async (): Promise<void> => {
    sink.hurry?.();
    await decisionLog.drain(CLOSE_MS);
    await sink.close();
  };
  return { decisionLog, close };
}

const CHUNK_LINES_MAX = 1_000;

async function openSink(
  { sink, file, url, tokenFile, required }: DecisionLogConfig,
  log: Log,
): Promise<(OpenSink & { readonly hurry?: () => void }) | undefined> {
  switch (sink) {
    case 'off':
      return undefined;
    case 'stdout':
      return { write: standardSink(1), close: async () => undefined };
    case 'file':
      return openFileSink({ path: file ?? '', isDurable: required, fileBytesMax: FILE_BYTES_MAX });
    case 'http':
      return createCollectorSink({
        ...COLLECTOR_RULES,
        url: url ?? '',
        tokenFile,
        // An answer waits for its line: then a line does not wait for company.
        paceMs: required ? 0 : COLLECTOR_RULES.paceMs,
        onProblem: (detail) => log.warn('the collector of the decision log does not take it', { detail }),
      });
    /* v8 ignore next 2 -- exhaustive */
    default:
      return unreachable(sink);
  }
}
