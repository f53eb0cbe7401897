"""The one command for people and scripts; every family of subcommands is a module of its own."""

import importlib

import click

# subcommand -> "module:attribute". Imported when used, so that none pays for the others' libraries.
COMMANDS = {
    "up": "handsent.up:up",
    "status": "handsent.status:status",
    "user": "handsent.user:user",
    "token": "handsent.tokens:token",
    "sender": "handsent.senders:sender",
    "opt-outs": "handsent.opt_outs:opt_outs",
    "holds": "handsent.holds:holds",
    "person": "handsent.person:person",
    "proof": "handsent.proof:proof",
    "events": "handsent.events:events",
    "audit": "handsent.audit.command:audit",
    "quarantine": "handsent.quarantine:commands",
    "replay": "handsent.replay:replay",
    "vault": "handsent.vault:vault",
    "schemas": "handsent.catalogue:schemas",
    "demo": "handsent.demo.command:demo",
}


class Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


@click.command(cls=Commands)
def main() -> None:
    """Peer-to-peer texting: every text is sent by a person's hand.

    Works against the stack in HANDSENT_HOME (.handsent), or the one the settings name.
    """


if __name__ == "__main__":
    main()
