/**
 * The store's side of epoch reports (DESIGN 3.4, rule 2): who has said, knowing which epoch is closed and in which
 * run of the store, that everything it holds is merged. Pure; judging whether that is everyone is the opener's.
 */
import type { EpochReport } from './feed-store.ts';

export class ReportTable {
  #reports: readonly EpochReport[] = [];

  /**
   * Keeps `report`, in place of an earlier one of the same incarnation, if it was made in this run: one that was sent
   * before the store lost something and arrives after it must not count (THREATS 10.5). Returns all about its epoch.
   */
  keep(report: EpochReport, runId: string): readonly EpochReport[] {
    const { incarnation, closedEpochId } = report;
    if (report.runId === runId) {
      const others = this.#reports.filter(
        (kept) => kept.incarnation !== incarnation || kept.closedEpochId !== closedEpochId,
      );
      this.#reports = [...others, report];
    }
    return this.#reports.filter((kept) => kept.closedEpochId === closedEpochId);
  }

  /** Another epoch is open, or another run has begun: nothing that was said before counts. */
  clear(): void {
    this.#reports = [];
  }
}
