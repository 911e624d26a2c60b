/**
 * Traces by OpenTelemetry's SDK to an OTLP/HTTP collector. compose loads this file only where one is configured. Spans
 * wait in a bounded queue; what does not fit, or is not taken, is counted as lost. A collector that hangs, dies or
 * refuses delays nobody.
 */
import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Context, Span } from '@opentelemetry/api';
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, TraceFlags, trace } from '@opentelemetry/api';
import { ExportResultCode, TraceState } from '@opentelemetry/core';
import type { ExportResult } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import type { ReadableSpan, SpanExporter, SpanProcessor } from '@opentelemetry/sdk-trace';
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import type { TracesConfig } from '../../config/config.ts';
import type { Observed, Occasion } from '../../decision/observer.ts';
import { WritError, codeOf } from '../../kernel/error.ts';
import type { Log } from '../../kernel/log.ts';
import type { SpanFacts, Tracer } from '../../kernel/trace.ts';
import type { ActiveTrace } from './active-trace.ts';
import { activeTrace } from './active-trace.ts';
import { parseTraceparent, renderTraceparent } from './trace-context.ts';

export interface TracesOptions {
  readonly config: TracesConfig & { readonly url: string };
  /** Who this is: `service.name` and what else tells replicas apart. */
  readonly resource: SpanFacts;
  readonly log: Log;
  /** Between two exports. */
  readonly paceMs?: number;
  readonly exportMs?: number;
}

const QUEUE_SPANS_MAX = 2_048;
const BATCH_SPANS_MAX = 512;
const PACE_MS = 1_000;
const EXPORT_MS = 5_000;
const CLOSE_MS = 1_500;
const STATE_MEMBERS_MAX = 32;

/** CONFIG_INVALID for headers that cannot be read. Opens no connection. */
export async function openTraces(options: TracesOptions): Promise<Traces> {
  const { config, resource, log, paceMs = PACE_MS, exportMs = EXPORT_MS } = options;
  const headers = config.headersFile === undefined ? {} : await readHeaders(config.headersFile);
  const exporter = new OTLPTraceExporter({ url: config.url, headers, timeoutMillis: exportMs });
  const counted = new CountedSpans(exporter, log, { paceMs, exportMs });
  const provider = new TracerProvider({
    resource: resourceFromAttributes(resource),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(config.sampling) }),
    spanProcessors: [counted],
  });
  return new Traces(provider, counted);
}

const HEADER = /^([A-Za-z0-9-]+)\s*:\s*([\x20-\x7e]+)$/;

async function readHeaders(file: string): Promise<Record<string, string>> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new WritError('CONFIG_INVALID', `${file} cannot be read`, {
      cause,
      field: 'telemetry.traces.headersFile',
    });
  });
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  const headers = lines.map((line) => HEADER.exec(line.trim()));
  if (headers.includes(null))
    throw new WritError('CONFIG_INVALID', `${file} must have one "name: value" a line`, {
      field: 'telemetry.traces.headersFile',
    });
  return Object.fromEntries(headers.map((header) => [header?.[1] ?? '', header?.[2] ?? '']));
}

interface ActiveSpan extends ActiveTrace {
  readonly span: Span;
  readonly context: Context;
}

export class Traces implements Tracer {
  readonly #provider: TracerProvider;
  readonly #spans: CountedSpans;
  readonly #tracer: ReturnType<TracerProvider['getTracer']>;

  constructor(provider: TracerProvider, spans: CountedSpans) {
    this.#provider = provider;
    this.#spans = spans;
    this.#tracer = provider.getTracer('writ');
  }

  get counts(): { readonly exported: number; readonly lost: number } {
    const { exported, lost } = this.#spans;
    return { exported, lost };
  }

  async span<T>(
    name: string,
    { facts = {}, kind }: Parameters<Tracer['span']>[1],
    work: () => Promise<T>,
  ): Promise<T> {
    const spanKind = kind === 'client' ? SpanKind.CLIENT : SpanKind.INTERNAL;
    const active = this.#start(name, spanKind, facts, current()?.context ?? ROOT_CONTEXT);
    try {
      return await activeTrace.run(active, work);
    } catch (error) {
      fail(active.span, codeOf(error));
      throw error;
    } finally {
      active.span.end();
    }
  }

  headers(): Readonly<Record<string, string>> {
    const span = current()?.span.spanContext();
    if (span === undefined) return {};
    const state = span.traceState?.serialize() ?? '';
    const isSampled = (span.traceFlags & TraceFlags.SAMPLED) !== 0;
    const traceparent = renderTraceparent({ traceId: span.traceId, spanId: span.spanId, isSampled });
    return state === '' ? { traceparent } : { traceparent, tracestate: state };
  }

  /** Runs `work` inside the span of the request that `req` is; it ends with the answer. */
  request<T>(req: IncomingMessage, res: ServerResponse, route: () => string, work: () => T): T {
    const method = req.method ?? '';
    const active = this.#start(method, SpanKind.SERVER, { 'http.request.method': method }, parentOf(req));
    res.once('close', () => {
      const { span } = active;
      span.updateName(`${method} ${route()}`);
      span.setAttributes({ 'http.route': route(), 'http.response.status_code': res.statusCode });
      if (res.statusCode >= 500) fail(span, String(res.statusCode));
      span.end();
    });
    return activeTrace.run(active, work);
  }

  /** Says on the current span what was decided. Of many decisions each is an event, of one alone the span is about it. */
  decided({ effect, reason, evidence }: Observed, { id, source }: Occasion): void {
    const span = current()?.span;
    if (span?.isRecording() !== true) return;
    const facts: Record<string, string> = {
      'writ.decision': effect,
      'writ.reason': reason,
      'writ.source': source,
      'writ.decision.id': id,
    };
    if (evidence !== undefined) {
      facts['writ.policy.digest'] = evidence.policy;
      facts['writ.position'] = evidence.position;
    }
    if (source === 'evaluations') span.addEvent('authz.decision', facts);
    else span.setAttributes(facts);
  }

  /** Sends what waits, within a grace of its own. */
  async close(): Promise<void> {
    const closing = this.#provider.shutdown().catch(() => undefined);
    const over = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => over.resolve(undefined), CLOSE_MS);
    await Promise.race([closing, over.promise]);
    clearTimeout(timer);
  }

  #start(name: string, kind: SpanKind, attributes: SpanFacts, parent: Context): ActiveSpan {
    const span = this.#tracer.startSpan(name, { kind, attributes }, parent);
    const { traceId, spanId } = span.spanContext();
    return { span, context: trace.setSpan(parent, span), ids: () => ({ traceId, spanId }) };
  }
}

/** Only this file enters a trace, so what is there is a span of ours. */
function current(): ActiveSpan | undefined {
  return activeTrace.getStore() as ActiveSpan | undefined;
}

function fail(span: Span, type: string): void {
  span.setStatus({ code: SpanStatusCode.ERROR });
  span.setAttribute('error.type', type);
}

/** A system's error code or an HTTP status; never a message, which may quote what was sent or answered. */
function reasonOf(error: unknown): string {
  const { code, name, cause } = {
    ...Object(error),
    name: error instanceof Error ? error.name : 'unknown',
  } as {
    readonly [member in 'code' | 'name' | 'cause']?: unknown;
  };
  if (typeof code === 'string' || typeof code === 'number') return String(code);
  return cause === undefined ? String(name) : reasonOf(cause);
}

/** The caller's trace, where it sent one that parses; without a traceparent its tracestate means nothing. */
function parentOf({ headers }: IncomingMessage): Context {
  const remote = parseTraceparent(headers['traceparent']);
  if (remote === undefined) return ROOT_CONTEXT;
  const { traceId, spanId, isSampled } = remote;
  const state = stateOf(headers['tracestate']);
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId,
    spanId,
    traceFlags: isSampled ? TraceFlags.SAMPLED : TraceFlags.NONE,
    isRemote: true,
    ...(state === undefined ? {} : { traceState: state }),
  });
}

function stateOf(header: string | string[] | undefined): TraceState | undefined {
  if (typeof header !== 'string' || header.split(',').length > STATE_MEMBERS_MAX) return undefined;
  return new TraceState(header);
}

/** Before the SDK's batches: a queue whose losses are known, and an exporter whose failures are. */
class CountedSpans implements SpanProcessor {
  readonly #exporter: SpanExporter;
  readonly #batches: BatchSpanProcessor;
  readonly #log: Log;
  #pending = 0;
  #isFailing = false;
  exported = 0;
  lost = 0;

  constructor(exporter: SpanExporter, log: Log, { paceMs, exportMs }: { paceMs: number; exportMs: number }) {
    this.#exporter = exporter;
    this.#log = log;
    this.#batches = new BatchSpanProcessor({
      exporter: {
        export: (spans, done) => this.#export(spans, done),
        shutdown: () => exporter.shutdown(),
        forceFlush: async () => exporter.forceFlush?.(),
      },
      maxQueueSize: QUEUE_SPANS_MAX,
      maxExportBatchSize: BATCH_SPANS_MAX,
      scheduledDelayMillis: paceMs,
      exportTimeoutMillis: exportMs,
    });
  }

  onStart(): void {
    // A span counts when it ends.
  }

  onEnd(span: ReadableSpan): void {
    if (this.#pending >= QUEUE_SPANS_MAX) {
      this.lost += 1;
      return;
    }
    this.#pending += 1;
    this.#batches.onEnd(span);
  }

  forceFlush(): Promise<void> {
    return this.#batches.forceFlush();
  }

  shutdown(): Promise<void> {
    return this.#batches.shutdown();
  }

  #export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
    this.#exporter.export(spans, (result) => {
      this.#pending -= spans.length;
      const isTaken = result.code === ExportResultCode.SUCCESS;
      if (isTaken) this.exported += spans.length;
      else this.lost += spans.length;
      if (!isTaken && !this.#isFailing)
        this.#log.warn('the collector of traces does not take them', {
          detail: reasonOf(result.error),
        });
      this.#isFailing = !isTaken;
      done(result);
    });
  }
}
