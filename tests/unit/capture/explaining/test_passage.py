"""The explanation of a match with several pictures: it comes out again, and every picture is explained."""

from dataclasses import replace

from msgspec import structs

from capture.explaining.matches import explain_match
from contract.evidence import Evidence
from tests.support.faces import photo, scene
from tests.support.then import Past


def past() -> Past:
    past = Past()
    past.enrol("anna", 1, info={"name": "Anna"})
    return past


def test_a_match_with_several_pictures_comes_out_again_and_every_picture_is_explained() -> None:
    pictures = (scene(), photo(1, size=100), photo(2, size=60))
    explanation = explain_match(past().then(photo(1), further_pictures=pictures))
    assert (explanation.way, explanation.alarms, explanation.outcome) == ("look", (), "matched")
    assert any("The mean of 2 of 4 pictures was compared" in sentence for sentence in explanation.sentences)
    assert "Picture 2 was left out: no face was found in it." in explanation.sentences
    assert any(sentence.startswith("Picture 4 was left out: its face") for sentence in explanation.sentences)


def test_from_the_evidence_alone_it_comes_out_again_too() -> None:
    then = past().then(photo(1), further_pictures=(photo(1, size=100),))
    assert then.request is not None
    gone = structs.replace(then.request, picture=b"", further_pictures=(b"",))
    explanation = explain_match(replace(then, request=gone))
    assert (explanation.way, explanation.alarms) == ("decide", ())


def test_evidence_that_names_other_pictures_is_an_alarm() -> None:
    then = past().then(photo(1), further_pictures=(photo(1, size=100),))
    assert isinstance(then.evidence, Evidence)
    other = structs.replace(then.evidence, pictures=then.evidence.pictures[:1])
    explanation = explain_match(replace(then, evidence=other))
    assert any(alarm.what.startswith("pictures[1]") for alarm in explanation.alarms)


def test_a_picture_with_a_copy_says_that_all_were_refused() -> None:
    then = past().then(photo(1), further_pictures=(photo(1, live=False),), liveness_mode="liveness_rgb")
    explanation = explain_match(then)
    assert (explanation.outcome, explanation.alarms) == ("spoof", ())
    assert "None of 2 pictures was compared." in explanation.sentences
    assert any(flip.outcome == "matched" for flip in explanation.flips), "without liveness"
