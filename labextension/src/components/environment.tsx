import { ReactWidget } from '@jupyterlab/ui-components';
import { createContext, ReactElement, ReactNode, useContext } from 'react';

import { IEnvironment } from '../tokens';

const Environment = createContext<IEnvironment | null>(null);

/** What all views share, for a component. */
export function useEnvironment(): IEnvironment {
  const environment = useContext(Environment);
  if (!environment) {
    throw new Error('A component of nbcluster needs a <Provider> around it');
  }
  return environment;
}

/** Gives the components in it what all views share. */
export function Provider(props: {
  readonly environment: IEnvironment;
  readonly children: ReactNode;
}): ReactElement {
  return (
    <Environment.Provider value={props.environment}>
      {props.children}
    </Environment.Provider>
  );
}

/** A widget that shows components of nbcluster. */
export abstract class View extends ReactWidget {
  constructor(protected readonly environment: IEnvironment) {
    super();
    this.addClass('jp-nbcluster');
  }

  protected abstract content(): ReactElement;

  protected render(): ReactElement {
    return <Provider environment={this.environment}>{this.content()}</Provider>;
  }
}
