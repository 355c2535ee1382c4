"""What is signed, and where a notice may go."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tasks.ledger.locks import Busy
from tasks.notices.hooks import Hooks, switch
from tasks.notices.letter import MAIL, letter
from tasks.notices.mail import deliver
from tasks.notices.post import Poster, Refused, is_public
from tasks.notices.shelf import NoticeShelf
from tasks.notices.signing import headers, new_key
from tasks.notices.types import Event, Hook, Notice, Secret, notice_id, notice_of
from tasks.store import FolderStore, NotFound
from tests.support.ledgers import in_process
from tests.support.mailbox import BREAK, SILENT, Certificate, Tls, Word, mailbox
from tests.support.receivers import receiving

NOTICE = notice_of("alice", "b1", Event.ENDED, "0", 1795455600.25, {"id": "b1", "title": "Плакаты – 海報"})


def hook(url: str, *keys: str) -> Hook:
    return Hook(id="h1", owner="alice", url=url, created=0.0, secrets=tuple(Secret(key=key) for key in keys))


class TestSigning:
    def test_the_librarys_own_check_takes_it_with_each_secret(self) -> None:
        old, new = new_key(), new_key()
        sent = headers(NOTICE, [new, old], int(time.time()))
        for key in (old, new):
            assert Webhook(key).verify(NOTICE.body, sent)["type"] == "batch.ended"
        with pytest.raises(WebhookVerificationError):
            Webhook(new_key()).verify(NOTICE.body, sent)

    def test_a_changed_body_is_seen(self) -> None:
        key = new_key()
        sent = headers(NOTICE, [key], int(time.time()))
        with pytest.raises(WebhookVerificationError):
            Webhook(key).verify(NOTICE.body.replace("ended", "half "), sent)

    def test_the_same_transition_has_the_same_id(self) -> None:
        assert notice_id("b1", Event.ENDED, "0") == NOTICE.id
        assert len({NOTICE.id, notice_id("b1", Event.ENDED, "1"), notice_id("b1", Event.HALF, "0")}) == 3

    def test_a_secret_that_was_replaced_signs_for_a_while(self) -> None:
        both = hook("https://x").model_copy(update={"secrets": (Secret(key="new"), Secret(key="old", until=100.0))})
        assert (both.keys(99.0), both.keys(100.0)) == (["new", "old"], ["new"])


class TestChanges:
    """What two of them do to one hook at a time."""

    @pytest.fixture
    def hooks(self, tmp_path: Path) -> Hooks:
        rig = in_process()
        rig.open()
        return Hooks(rig.ledger, NoticeShelf(FolderStore(tmp_path)), Poster(), patience_s=0)

    @pytest.fixture
    def made(self, hooks: Hooks) -> Hook:
        return hooks.add("alice", "https://1.1.1.1/told", [Event.ENDED])

    def test_a_secret_of_which_a_caller_does_not_know_yet_stays(self, hooks: Hooks, made: Hook) -> None:
        first, second = hooks.rotate(made), hooks.rotate(made)
        assert [secret.key for secret in second.secrets[1:]] == [secret.key for secret in first.secrets]

    def test_a_new_secret_revives_none_that_was_switched_off(self, hooks: Hooks, made: Hook) -> None:
        switch(hooks.ledger, hooks.shelf, made, off="410")
        assert hooks.rotate(made).off == "410"

    def test_one_that_was_removed_does_not_come_back(self, hooks: Hooks, made: Hook) -> None:
        hooks.remove(made)
        switch(hooks.ledger, hooks.shelf, made, off="410")
        with pytest.raises(NotFound):
            hooks.rotate(made)
        assert hooks.shelf.hooks() == []

    def test_between_reading_and_writing_nobody_else_changes_it(self, hooks: Hooks, made: Hook) -> None:
        tried = list[str]()

        class Meanwhile(NoticeShelf):
            def put_hook(self, hook: Hook) -> None:
                for change in (hooks.rotate, hooks.remove):
                    with pytest.raises(Busy):
                        change(made)
                    tried.append(change.__name__)
                super().put_hook(hook)

        switch(hooks.ledger, Meanwhile(hooks.shelf.store), made, off="410")
        assert tried == ["rotate", "remove"]
        assert hooks.rotate(made).off == "410"


PRIVATE = (
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "::ffff:127.0.0.1",
    "::ffff:10.0.0.1", "::ffff:224.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::", "2002:a00:1::",
    "::127.0.0.1", "2001:db8::1", "64:ff9b:1::7f00:1", "::ffff:0:127.0.0.1", "fec0::1", "100:0:0:1::1", "3fff::1",
    "5f00::1",
)  # fmt: skip


class TestAddresses:
    @pytest.mark.parametrize("address", PRIVATE)
    def test_private_ones_in_any_form(self, address: str) -> None:
        assert not is_public(address)

    @pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:1.1.1.1"])
    def test_public_ones(self, address: str) -> None:
        assert is_public(address)

    @pytest.mark.parametrize(
        "url",
        [
            "https://127.0.0.1/", "https://2130706433/", "https://0x7f000001/", "https://0177.0.0.1/", "https://127.1/",
            "https://localhost/", "https://[::1]/", "https://[::ffff:169.254.169.254]/", "https://[fd00::1]:8443/",
            "http://1.1.1.1/", "https://user:secret@1.1.1.1/", "https://1.1.1.1/#x", "ftp://1.1.1.1/", "file:///etc/passwd",
            "https://", "//1.1.1.1/", "javascript:alert(1)", "https://no-such-name.invalid/", "https://[::1", "night",
            "https://" + "a" * 300 + ".com/", "mailto:ada@example.org", "https://1.1.1.1:0/", "https://1.1.1.1:65536/",
            "https://1.1.1.1:-1/", "https://1.1.1.1:99999999999999999999/",
        ],
    )  # fmt: skip
    def test_what_is_refused(self, url: str) -> None:
        with pytest.raises(Refused) as refused:
            Poster().check(url)
        assert refused.value.field == "url"
        assert refused.value.fix
        assert "secret" not in str(refused.value)

    def test_a_private_receiver_hears_nothing(self) -> None:
        with receiving() as receiver:
            outcome = Poster().send(hook(receiver.url), NOTICE)
        assert (outcome.ok, receiver.notices) == (False, [])

    def test_where_a_setting_allows_it(self) -> None:
        key = new_key()
        with receiving() as receiver:
            receiver.secret = key
            outcome = Poster(private=True).send(hook(receiver.url.replace("127.0.0.1", "localhost"), key), NOTICE)
        assert (outcome.ok, outcome.status) == (True, 204)
        assert [(told.id, told.type, told.verified) for told in receiver.notices] == [(NOTICE.id, "batch.ended", True)]
        assert receiver.notices[0].data["title"] == "Плакаты – 海報"


class TestAnswers:
    def test_a_redirect_is_not_followed(self) -> None:
        with receiving() as other, receiving() as receiver:
            receiver.answer = lambda: (307, {"Location": other.url})
            outcome = Poster(private=True).send(hook(receiver.url), NOTICE)
        assert (outcome.ok, outcome.status, other.notices) == (False, 307, [])
        assert "redirect" in outcome.why

    @pytest.mark.parametrize(
        ("told", "wait"),
        [
            ("120", 120.0), ("soon", None), ("-5", None), ("", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
            ("Wed, 21 Oct 99999999999999999999 07:28:00 GMT", None),
        ],
    )  # fmt: skip
    def test_retry_after(self, told: str, wait: float | None) -> None:
        with receiving() as receiver:
            receiver.answer = lambda: (503, {"Retry-After": told})
            assert Poster(private=True).send(hook(receiver.url), NOTICE).wait_s == wait

    def test_gone(self) -> None:
        with receiving() as receiver:
            receiver.answer = lambda: (410, {})
            assert Poster(private=True).send(hook(receiver.url), NOTICE).gone

    def test_nobody_listens(self) -> None:
        with receiving() as receiver:
            url = receiver.url
        outcome = Poster(private=True).send(hook(url), NOTICE)
        assert not outcome.ok
        assert "ConnectError" in outcome.why


SETTING, FROM = "VISIONDIRECTOR_SMTP_URL", "VISIONDIRECTOR_MAIL_FROM"
ADA = hook(f"{MAIL}ada@example.org")


def told(**data: object) -> Notice:
    return notice_of("alice", "b1", Event.ENDED, "0", 1795455600.25, {"id": "b1", **data})


def mailed(server: str) -> str:
    """What went wrong."""
    outcome = Poster(smtp=server, mail_from="night@example.org").send(ADA, NOTICE)
    assert outcome.ok == (outcome.why == "")
    assert "secret" not in outcome.why
    return outcome.why


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate.made(tmp_path_factory.mktemp("tls"))


class TestMail:
    def test_a_mail_says_what_happened(self) -> None:
        with mailbox() as box:
            poster = Poster(smtp=box.url, mail_from="The night <night@example.org>", pages="https://render.example.org")
            assert poster.send(ADA, told(title="Плакаты – 海報", unmet=2, done=17, total=19, failed=0)).ok
        (mail,) = box.mails
        assert (mail["From"], mail["To"]) == ("The night <night@example.org>", "ada@example.org")
        assert mail["Subject"] == "Плакаты – 海報 has ended: 17 done, 2 unmet"
        assert mail["Message-ID"] == f"<{NOTICE.id}.h1@example.org>"
        assert mail.get_content().splitlines() == [
            mail["Subject"], "", "title: Плакаты – 海報", "id: b1", "total: 19", "done: 17", "unmet: 2",
            "time: 2026-11-23 17:40:00 UTC", "", "https://render.example.org/batches/b1",
            "visiondirector batch show b1", "", f"Notice {NOTICE.id}",
        ]  # fmt: skip

    @pytest.mark.parametrize(("hours", "old"), [(0, False), (23, False), (25, True)])
    def test_its_date_is_that_of_what_happened_unless_that_is_long_ago(self, hours: int, old: bool) -> None:
        happened = datetime.fromisoformat(NOTICE.timestamp).replace(microsecond=0)
        now = happened + timedelta(hours=hours)
        sent = letter(NOTICE, ADA, "night@example.org", "", now)["Date"].datetime
        assert sent.replace(microsecond=0) == (now if old else happened)

    @pytest.mark.parametrize(
        ("title", "shown"),
        [
            ("x\r\nBcc: eve@example.org", "x  Bcc: eve@example.org"), ("Straßenplakat für Jörg & Söhne",) * 2,
            ("Eulen 🦉👩‍👩‍👧‍👦 bei Nacht",) * 2, ("نیم‌فاصله",) * 2,
            ("夜" * 200, "夜" * 79 + "…"), ("Ü " * 200, "Ü " * 39 + "Ü…"), ("x\u2028y\x85z", "x y z"),
            ("=?utf-8?q?x=0D=0ABcc=3A_eve=40x.org?=", "= ?utf-8?q?x=0D=0ABcc=3A_eve=40x.org?="),
        ],
    )  # fmt: skip
    def test_a_title_in_any_letters_adds_no_header_and_needs_no_more_than_ascii(self, title: str, shown: str) -> None:
        with mailbox() as box:
            assert Poster(smtp=box.url, mail_from="night@example.org").send(ADA, told(title=title, done=1)).ok
        (mail,) = box.mails
        assert mail["Subject"] == f"{shown} has ended: 1 done"
        assert mail["Bcc"] is None
        assert box.raw[0].isascii()
        assert max(len(line) for line in box.raw[0].split(b"\r\n")) <= 78

    @pytest.mark.parametrize(
        ("event", "subject", "closer"),
        [
            (Event.HELD, "b1 is held: its budget is spent", "visiondirector batch show b1"),
            (Event.JOB_ENDED, "b1 has ended: failed", "visiondirector show b1"),
            (Event.TEST, "b1 can send you mail: this is a test", "visiondirector hook list"),
        ],
    )
    def test_each_event_says_how_to_look_closer(self, event: Event, subject: str, closer: str) -> None:
        notice = notice_of("alice", "b1", event, "0", 1.0, {"id": "b1", "status": "failed"})
        with mailbox() as box:
            assert Poster(smtp=box.url, mail_from="night@example.org").send(ADA, notice).ok
        assert box.mails[0]["Subject"] == subject
        assert closer in box.mails[0].get_content().splitlines()

    @pytest.mark.parametrize(
        "address",
        [
            "ada", "ada@example", "ada@example.org,eve@example.org", "a%0d%0aBcc:e@x.org", "a@b@x.org", "ada@x..org",
            "ada@[1.2.3.4]", "undisclosed:ada@x.org", "ada@.x.org",
        ],
    )  # fmt: skip
    def test_what_is_no_address(self, address: str) -> None:
        with pytest.raises(Refused):
            Poster(smtp="smtp://127.0.0.1:1").check(f"{MAIL}{address}")

    @pytest.mark.parametrize(
        ("address", "sent"),
        [("ada@straße.example.org", "ada@xn--strae-oqa.example.org"), ("jürgen@example.org", "jürgen@example.org")],
    )
    def test_an_address_with_other_letters(self, address: str, sent: str) -> None:
        with mailbox() as box:
            assert Poster(smtp=box.url, mail_from="night@example.org").send(hook(f"{MAIL}{address}"), NOTICE).ok
        assert (box.recipients, box.mails[0]["To"]) == ([sent], sent)

    @pytest.mark.parametrize("tls", ["starttls", "at once"])
    def test_a_password_goes_over_tls_only(
        self, certificate: Certificate, tls: Tls, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.chain))
        with mailbox(certificate, tls, user=("ada@home", "a:b/c @")) as box:
            assert mailed(box.url) == ""
            wrong = mailed(box.url.replace("ada", "eve"))
        assert len(box.raw) == 1
        assert wrong == "the mail server takes no user with this password: 535 5.7.8 who are you?; see " + SETTING

    @pytest.mark.parametrize("tls", ["starttls", "at once"])
    def test_a_server_that_nobody_vouches_for_gets_nothing(self, certificate: Certificate, tls: Tls) -> None:
        with mailbox(certificate, tls, user=("ada", "secret")) as box:
            why = mailed(box.url)
        assert why.startswith("the certificate of the mail server can't be trusted: self")
        assert not box.raw

    @pytest.mark.parametrize(
        ("answers", "why", "final"),
        [
            ({"RCPT": "550 no such\tuser"}, "the mail server refuses this address: 550 no such user", True),
            ({"RCPT": "450 greylisted"}, "the mail server refuses this address: 450 greylisted", False),
            ({"MAIL": "553 not you"}, f"the mail server refuses the sender: 553 not you; see {FROM}", False),
            ({"DATA": "451 later"}, "the mail server refuses: 451 later", False),
            ({"DATA": "554 spam"}, "the mail server refuses: 554 spam", True),
            ({"EHLO": "421 busy", "HELO": "421 busy"}, "the mail server refuses: 421 busy", False),
            ({"EHLO": "554 no", "HELO": "554 no"}, "the mail server refuses: 554 no", False),
            ({"RCPT": BREAK}, "the mail server ended the connection: Connection unexpectedly closed", False),
            ({"DATA": BREAK}, "the mail server ended the connection: Connection unexpectedly closed", False),
        ],
    )  # fmt: skip
    def test_what_a_server_refuses_is_told_in_its_words(self, answers: dict[Word, str], why: str, final: bool) -> None:
        with mailbox(answers=answers) as box:
            outcome = Poster(smtp=box.url, mail_from="night@example.org").send(ADA, NOTICE)
        assert (outcome.why, outcome.final) == (why, final)
        assert not box.raw

    def test_the_last_word_of_a_server_does_not_undo_the_mail(self) -> None:
        with mailbox(answers={"QUIT": "421 too many"}) as box:
            assert mailed(box.url) == ""
            box.answers["QUIT"] = BREAK
            assert mailed(box.url) == ""
        assert len(box.raw) == 2

    @pytest.mark.parametrize("word", ["EHLO", "RCPT", "DATA"])
    def test_a_server_that_falls_silent(self, word: Word) -> None:
        with mailbox(answers={word: SILENT}) as box:
            unsent = deliver(box.url, letter(NOTICE, ADA, "night@example.org", "", datetime.now(UTC)), 0.3)
        assert unsent == (f"the mail server does not answer in time; see {SETTING}", False)

    def test_what_a_server_can_not_do_is_told(self) -> None:
        with mailbox() as box:
            assert "STARTTLS extension not supported" in mailed(box.url.replace("smtp:", "smtp+starttls:"))
            assert "AUTH extension not supported" in mailed(box.url.replace("//", "//ada:secret@"))
            assert mailed(box.url.replace("smtp:", "smtps:")).startswith("the mail server does not speak TLS there")
        assert mailed(box.url).startswith("no mail server can be reached: ")
        assert mailed("smtp://mail.invalid").startswith("the name of the mail server is unknown")
