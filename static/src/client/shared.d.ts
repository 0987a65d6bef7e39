/** The types of shared.js. */

import type { Source, SourceOptions } from './index.js';

export interface SharedSource extends Source {
  /** Whether this page holds the stream that the others are told from. */
  readonly isLeader?: boolean;
}

/**
 * As newEventSource, but all pages of an origin that name the same stream share one connection. Where a page has no Web
 * Locks (plain HTTP on another host than localhost) or no BroadcastChannel it is newEventSource.
 */
export function newSharedSource(options?: Omit<SourceOptions, 'method' | 'body'>): SharedSource;
