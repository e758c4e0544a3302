import { InputDialog } from '@jupyterlab/apputils';

import { IClusterView } from '../api/schema';
import { isAlive } from '../model/figures';
import { IEnvironment } from '../tokens';

/**
 * Find out which cluster a command is about.
 *
 * @param id - what the caller says
 * @param notebook - the path of the active notebook, if there is one
 * @returns null when the user does not want to choose, or cannot
 */
export async function pickCluster(
  { clusters, trans }: IEnvironment,
  id: string | undefined,
  notebook: string | undefined
): Promise<IClusterView | null> {
  if (id !== undefined) {
    const cluster = clusters.find(id);
    if (!cluster) {
      throw new Error(trans.__('This cluster is no longer running.'));
    }
    return cluster;
  }
  const all = clusters.state.clusters.filter(isAlive);
  const obvious = obviousCluster(all, notebook);
  if (obvious) {
    return obvious;
  }
  if (all.length === 0) {
    throw new Error(trans.__('No cluster is running.'));
  }
  const { value } = await InputDialog.getItem({
    title: trans.__('Which cluster?'),
    items: all.map(({ name, id }) => `${name} (${id})`)
  });
  return all.find(cluster => value?.endsWith(`(${cluster.id})`)) ?? null;
}

/** The cluster of the active notebook, or the only one that there is. */
export function obviousCluster(
  clusters: readonly IClusterView[],
  notebook: string | undefined
): IClusterView | undefined {
  const own = clustersOf(notebook, clusters);
  const candidates = own.length > 0 ? own : clusters;
  return candidates.length === 1 ? candidates[0] : undefined;
}

/** The clusters that run on behalf of a notebook. */
export function clustersOf(
  notebook: string | undefined,
  clusters: readonly IClusterView[]
): readonly IClusterView[] {
  return clusters.filter(
    ({ owner }) => owner?.kind === 'notebook' && owner.path === notebook
  );
}
