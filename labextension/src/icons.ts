import { LabIcon } from '@jupyterlab/ui-components';

import cluster from '../style/icons/cluster.svg';
import dashboard from '../style/icons/dashboard.svg';
import power from '../style/icons/power.svg';

/** Workers around a scheduler. */
export const clusterIcon = new LabIcon({
  name: 'nbcluster:cluster',
  svgstr: cluster
});

export const dashboardIcon = new LabIcon({
  name: 'nbcluster:dashboard',
  svgstr: dashboard
});

export const powerIcon = new LabIcon({
  name: 'nbcluster:power',
  svgstr: power
});
