import { CLUSTER_ID } from './api/schema';

const PATTERN = new RegExp(`^${CLUSTER_ID}$`);

/**
 * Whether something is the id of a cluster: ids also come out of notebooks,
 * which anybody may have written, and end up in addresses.
 */
export function isClusterId(value: unknown): value is string {
  return typeof value === 'string' && PATTERN.test(value);
}
