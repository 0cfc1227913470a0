"""Tasks that a text-only model cannot do: they need images, sound or files, or lack an input."""

from __future__ import annotations

import re

from selfinstruct.candidates.candidate import Candidate

ENGLISH = (
    r"\b(?:images?|pictures?|photos?|graphs?|maps?|files?|plot|draw|go to|videos?|audio|music"
    r"|flowcharts?|diagrams?|screenshots?|urls?)\b"
)
"""The keywords of both papers, and a few more."""

KOREAN = """
이미지 그림 사진 그래프 차트 지도 약도 파일 동영상 영상 비디오 음악 오디오 음성 녹음
다이어그램 순서도 플로차트 스크린샷 캡처 일러스트 스케치 그리기 링크 첨부파일 막대그래프
원그래프 꺾은선그래프 세계지도 배경음악 뮤직비디오 증명사진 가족사진 졸업사진
"""
"""The same in Korean. They match alone or with a particle, never as the start of a longer word:
그림자 (shadow), 사진기 (camera) and 파일럿 (pilot) mean something else."""

KOREAN_VERBS = (
    r"그려 ?(?:줘|주|보|라|넣)|그리(?:시오|세요|십시오)|스케치(?:해|하)|들려 ?(?:줘|주세요)"
)
"""Requests to draw something, or to play a sound."""

OTHER_MEANING = re.compile(
    # 지도: guidance, not map. 그림: "picturesque", "pie in the sky". 음성: phonetics.
    r"지도(?:를|도|는)? ?(?:받|교수|교사|안|위원|감독|선생|방침|하|계획)"
    r"|그림(?:의 떡|(?: ?같은| ?같이|처럼))|음성 ?(?:학|언어|변화)"
)
"""Uses of the Korean words that are not about images or sound; removed before the search."""


def _with_particles(noun: str) -> str:
    """Return a pattern of a Korean noun, alone or with a particle that fits its last sound."""
    # Hangul syllables are ordered by initial, vowel and final consonant, 28 finals each (0: none).
    final = (ord(noun[-1]) - ord("가")) % 28
    own = "을|이|은|과|이나|이라도|이랑" if final else "를|가|는|와|나|라도|랑"
    # 로 follows a vowel or ㄹ (final number 8), 으로 any other consonant.
    toward = "로" if final in (0, 8) else "으로"
    common = (
        "의|에|에서|에서는|에는|에게|도|만|까지|부터|마다|처럼|들|들을|들이|들은|들의|속|속의|속에"
    )
    return f"{noun}(?:{own}|{toward}|{common})?"


BEYOND_TEXT = re.compile(
    rf"{ENGLISH}|{KOREAN_VERBS}"
    rf"|(?<![가-힣])(?:{'|'.join(map(_with_particles, KOREAN.split()))})(?![가-힣])",
    re.IGNORECASE,
)

MISSING = re.compile(
    r"\b(?:this|the (?:following|given|above|below|provided)|these(?: \w+)?) "
    r"(?:sentences?|texts?|paragraphs?|passages?|articles?|poems?|stor(?:y|ies)|emails?|reviews?"
    r"|words?|phrases?|codes?|lists?|tables?|questions?|statements?|quotes?|numbers?|plot|input)\b"
    r"|(?<![가-힣])(?:다음|아래|위|주어진|제시된|제공된|첨부된|해당|이)의? "
    r"(?:[가-힣]+ )?(?:문장|글|텍스트|단락|문단|지문|본문|기사|시|대화|이메일|메일|리뷰|후기|댓글"
    r"|단어|낱말|구절|표|목록|코드|질문|숫자|수열|내용|발언|인용문|입력)(?:들)?"
    r"(?:을|를|이|가|은|는|의|에|에서|으로|로|과|와)?(?![가-힣])",
    re.IGNORECASE,
)
"""An instruction that refers to an input ("the following text")."""

CARRIES = re.compile("[:：\n\"“‘'「『<《〈]")
"""Marks that show that an instruction contains its input itself."""


def needs_more_than_text(candidate: Candidate) -> str | None:
    """Reject tasks about images, sound, files and links."""
    instruction = OTHER_MEANING.sub(" ", candidate.instruction)
    return "needs more than text" if BEYOND_TEXT.search(instruction) else None


def missing_input(candidate: Candidate) -> str | None:
    """Reject an instruction that refers to an input that exists nowhere in the task."""
    points = MISSING.search(candidate.instruction)
    carries = candidate.input or CARRIES.search(candidate.instruction)
    return "input is missing" if points and not carries else None
