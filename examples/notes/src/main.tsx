import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './App';
import { Cell } from './cell';
import { recallPlace, rememberPlace, type Place } from './place';
import { Session } from './session';
import { Store } from './store';
import './style/base.css';
import './style/layout.css';
import './style/head.css';
import './style/write.css';

// Outside of React, which may make a component twice: a peer should not be connected to twice.
const store = await Store.open();
const session = new Cell(new Session(recallPlace(), store));

function move(place: Place): void {
  rememberPlace(place);
  session.get().close();
  session.set(new Session(place, store));
}

const root = document.getElementById('root');
if (!root) throw new Error('index.html has no root');
createRoot(root).render(
  <StrictMode>
    <App current={session} move={move} />
  </StrictMode>,
);
