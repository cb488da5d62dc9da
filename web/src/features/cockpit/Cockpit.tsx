/** The administrators' view of the installation. Loaded when somebody opens it, never with the chats. */
import { useEffect, useState } from "react";
import { useStore } from "zustand";
import { createAdmin } from "../../admin";
import { Link, useAddress } from "../../shared/address";
import { useAppState, useCall } from "../../shared/context";
import { Icon } from "../../shared/ui";
import { createFeed } from "./feed";
import { LiveMap } from "./LiveMap";
import { LinkState } from "./LinkState";
import { MAP, placeOf, runsPath } from "./place";
import { RunPage } from "./RunPage";
import { Runs } from "./Runs";
import { useCockpitWords } from "./words";
import type { Admin } from "../../admin";
import type { Feed } from "./feed";
import type { Place } from "./place";
import "./cockpit.css";

/** `home`: where the chats are. */
export default function Cockpit({ home }: { home: string }) {
  const words = useCockpitWords();
  const admin = useAppState((state) => state.user?.role === "admin");
  useTitle(words.title);
  return admin ? <Inside home={home} /> : <ForAdministrators home={home} />;
}

function Inside({ home }: { home: string }) {
  const call = useCall();
  const [admin] = useState(() => createAdmin(call));
  const feed = useFeed(admin);
  const place = placeOf(useAddress());
  const refused = useStore(feed.store, (picture) => picture.link === "refused");
  if (refused) return <ForAdministrators home={home} />;
  return (
    <div className="cockpit" data-testid="cockpit" data-view={place.view}>
      <Header home={home} place={place} feed={feed} />
      <main className="cockpit-body">
        <View place={place} admin={admin} feed={feed} />
      </main>
    </div>
  );
}

function View({ place, admin, feed }: { place: Place; admin: Admin; feed: Feed }) {
  switch (place.view) {
    case "map":
      return <LiveMap admin={admin} feed={feed} />;
    case "runs":
      return <Runs admin={admin} filters={place.filters} cursor={place.cursor} />;
    case "run":
      return <RunPage key={place.run} admin={admin} run={place.run} />;
  }
}

function Header({ home, place, feed }: { home: string; place: Place; feed: Feed }) {
  const words = useCockpitWords();
  return (
    <header className="cockpit-header">
      <Link to={home} className="cockpit-home" data-testid="cockpit-home" aria-label={words.back} title={words.back}>
        <Icon name="left" />
      </Link>
      <h1 className="cockpit-title font-serif">{words.title}</h1>
      <nav aria-label={words.views} className="cockpit-tabs">
        <Link to={MAP} data-testid="tab-map" aria-current={place.view === "map" ? "page" : undefined}>
          {words.map}
        </Link>
        <Link to={runsPath()} data-testid="tab-runs" aria-current={place.view === "map" ? undefined : "page"}>
          {words.runs}
        </Link>
      </nav>
      <LinkState feed={feed} />
    </header>
  );
}

function ForAdministrators({ home }: { home: string }) {
  const words = useCockpitWords();
  return (
    <main className="cockpit-closed" data-testid="cockpit-closed">
      <h1 className="font-serif">{words.members}</h1>
      <p>{words.membersMore}</p>
      <Link to={home} data-testid="cockpit-home">
        {words.back}
      </Link>
    </main>
  );
}

/** Asks while the cockpit is open and the page is seen. */
function useFeed(admin: Admin): Feed {
  const [feed] = useState(() => createFeed({ read: admin.overview, now: Date.now, random: Math.random }));
  useEffect(() => {
    const looked = (): void => (document.hidden ? feed.stop() : feed.nudge());
    looked();
    document.addEventListener("visibilitychange", looked);
    window.addEventListener("online", looked);
    return () => {
      document.removeEventListener("visibilitychange", looked);
      window.removeEventListener("online", looked);
      feed.stop();
    };
  }, [feed]);
  return feed;
}

function useTitle(title: string): void {
  useEffect(() => {
    const before = document.title;
    document.title = `${title} · Prosa`;
    return () => {
      document.title = before;
    };
  }, [title]);
}
