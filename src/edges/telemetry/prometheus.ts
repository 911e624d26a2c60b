/**
 * Metrics as Prometheus reads them (text format 0.0.4), by OpenTelemetry's serialiser. compose loads this file before
 * anything listens: loading it takes the loop tens of milliseconds, which nobody who is being answered should pay.
 */
import type { HrTime } from '@opentelemetry/api';
import { ValueType } from '@opentelemetry/api';
import { PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { emptyResource } from '@opentelemetry/resources';
import type { CollectionResult, DataPoint, MetricData, MetricProducer } from '@opentelemetry/sdk-metrics';
import { AggregationTemporality, DataPointType } from '@opentelemetry/sdk-metrics';
import type { Histogram } from '../../kernel/histogram.ts';
import type { Metric, Point } from './metric.ts';

export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** The page of `GET /metrics`, computed when it is asked for. */
export function createMetricsPage(metrics: readonly Metric[]): () => Promise<string> {
  const producer = createMetricProducer(metrics);
  const serializer = new PrometheusSerializer(undefined, false, undefined, true, true);
  return async () => serializer.serialize((await producer.collect()).resourceMetrics);
}

/** Our metrics as OpenTelemetry's SDK takes them from a third party: any of its readers could push them elsewhere. */
export function createMetricProducer(metrics: readonly Metric[]): MetricProducer {
  const startTime = hrTimeOf(Date.now());
  return {
    collect: async (): Promise<CollectionResult> => ({
      resourceMetrics: {
        resource: emptyResource(),
        scopeMetrics: [
          {
            scope: { name: 'writ' },
            metrics: metrics.map((one) => dataOf(one, startTime, hrTimeOf(Date.now()))),
          },
        ],
      },
      errors: [],
    }),
  };
}

function dataOf(metric: Metric, startTime: HrTime, endTime: HrTime): MetricData {
  const shared = {
    descriptor: { name: metric.name, description: metric.help, unit: '', valueType: ValueType.DOUBLE },
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
  };
  const pointOf = <Value, Wire>(
    { labels, value }: Point<Value>,
    render: (value: Value) => Wire,
  ): DataPoint<Wire> => ({
    startTime,
    endTime,
    attributes: labels,
    value: render(value),
  });
  switch (metric.type) {
    case 'counter':
      return {
        ...shared,
        dataPointType: DataPointType.SUM,
        isMonotonic: true,
        dataPoints: metric.read().map((point) => pointOf(point, (value) => value)),
      };
    case 'gauge':
      return {
        ...shared,
        dataPointType: DataPointType.GAUGE,
        dataPoints: metric.read().map((point) => pointOf(point, (value) => value)),
      };
    case 'histogram':
      return {
        ...shared,
        dataPointType: DataPointType.HISTOGRAM,
        dataPoints: metric.read().map((point) => pointOf(point, histogramOf)),
      };
  }
}

function histogramOf({ boundsS, counts, sumS, count }: Histogram) {
  return { buckets: { boundaries: [...boundsS], counts: [...counts] }, sum: sumS, count };
}

function hrTimeOf(wallMs: number): HrTime {
  return [Math.floor(wallMs / 1000), (wallMs % 1000) * 1e6];
}
