//! The words people read, in the languages of the people who hold the card: terms, and the sentences that carry risk. One
//! table, so that a translation is checked in one place and no screen has words of its own for these things.

/// A language of the program's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// Japanese.
    Ja,
    /// Traditional Chinese.
    ZhTw,
    /// English.
    #[default]
    En,
}

impl Language {
    /// The language a locale name such as `ja_JP.UTF-8` asks for; English for all others.
    pub fn of_locale(locale: &str) -> Language {
        let locale = locale.to_ascii_lowercase().replace('-', "_");
        let tag = locale.split(['.', '@']).next().unwrap_or_default();
        match tag {
            "ja" => Language::Ja,
            _ if tag.starts_with("ja_") => Language::Ja,
            _ if tag.starts_with("zh_tw") || tag.starts_with("zh_hk") || tag.starts_with("zh_hant") => Language::ZhTw,
            _ => Language::En,
        }
    }
}

/// A term or a sentence in each language. Placeholders stand in braces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words {
    ja: &'static str,
    zh_tw: &'static str,
    en: &'static str,
}

impl Words {
    /// The words in `language`.
    pub const fn text(&self, language: Language) -> &'static str {
        match language {
            Language::Ja => self.ja,
            Language::ZhTw => self.zh_tw,
            Language::En => self.en,
        }
    }

    /// The words in `language`, with each placeholder `{name}` replaced by its value.
    pub fn filled(&self, language: Language, values: &[(&str, &str)]) -> String {
        values
            .iter()
            .fold(self.text(language).to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }
}

/// One row per term or sentence: name, then Japanese, Traditional Chinese, English.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident = $ja:literal, $zh_tw:literal, $en:literal;)*) => {
        $($(#[$doc])* pub const $name: Words = Words { ja: $ja, zh_tw: $zh_tw, en: $en };)*

        #[cfg(test)]
        const ALL: &[(&str, Words)] = &[$((stringify!($name), $name)),*];
    };
}

words! {
    /// The signature certificate.
    CERT_SIGN = "署名用電子証明書", "簽章用電子憑證", "digital signature certificate";
    /// The authentication certificate.
    CERT_AUTH = "利用者証明用電子証明書", "使用者證明用電子憑證", "user authentication certificate";
    /// The secret of the authentication key.
    SECRET_AUTH = "利用者証明用パスワード（数字4桁）", "使用者證明用密碼（4 位數字）", "authentication PIN (4 digits)";
    /// The secret of the signature key.
    SECRET_SIGN =
        "署名用パスワード（英数字6〜16文字）", "簽章用密碼（6～16 個英文字母與數字）",
        "signature password (6-16 letters and digits)";
    /// The secret of a Juki card.
    SECRET_JUKI =
        "署名用パスワード（英数字4〜16文字）", "簽章用密碼（4～16 個英文字母與數字）",
        "signature password (4-16 letters and digits)";
    /// Tries left of a secret.
    TRIES_LEFT = "残り回数", "剩餘次數", "tries left";
    /// A locked secret.
    LOCKED = "ロックされています", "已鎖卡", "locked";
    /// A certification authority.
    CA = "認証局", "認證局", "certification authority";
    /// The holder's name.
    NAME = "氏名", "姓名", "Name";
    /// The holder's date of birth.
    BIRTH = "生年月日", "出生年月日", "Date of birth";
    /// The holder's sex.
    SEX = "性別", "性別", "Sex";
    /// The holder's address.
    ADDRESS = "住所", "住址", "Address";
    /// A certificate's subject.
    SUBJECT = "主体者", "主體", "Subject";
    /// A certificate's issuer.
    ISSUER = "発行者", "發行者", "Issuer";
    /// A certificate's serial number.
    SERIAL = "シリアル番号", "憑證序號", "Serial number";
    /// The first day of a certificate.
    ISSUED_ON = "発行年月日", "發行年月日", "Date of issue";
    /// The last day of a certificate.
    EXPIRY = "有効期間の満了日", "有效期間屆滿日", "Expiry date";
    /// Of a certificate whose period has not begun.
    NOT_YET = "有効期間の開始前です", "有效期間尚未開始", "its period has not begun";
    /// Of a certificate whose period is over.
    OVER = "有効期間が満了しています", "有效期間已屆滿", "its period is over";
    /// A fingerprint.
    FINGERPRINT = "フィンガープリント（拇印）", "拇指紋（憑證指紋）", "Fingerprint";
    /// Characters that stand in for others.
    SUBSTITUTE = "代替文字", "替代字", "Substitute character";
    /// Something that is not known.
    UNKNOWN = "不明", "不明", "unknown";
    /// Male.
    MALE = "男", "男", "male";
    /// Female.
    FEMALE = "女", "女", "female";

    /// Who did not make this.
    UNOFFICIAL =
        "本ソフトウェアは、J-LIS、デジタル庁その他の公的機関が作成・承認したものではありません。",
        "本軟體並非由 J-LIS、數位廳或其他公家機關製作或核可。",
        "This software is not made or approved by J-LIS, the Digital Agency or any public body.";
    /// Asks for a secret; `{secret}`, `{n}`.
    ASK =
        "{secret}を入力してください。残り{n}回です。", "請輸入{secret}。剩餘 {n} 次。",
        "Enter the {secret}. Tries left: {n}.";
    /// Asks for the secret to be set; `{secret}`.
    ASK_NEW = "新しい{secret}を入力してください。", "請輸入新的{secret}。", "Enter the new {secret}.";
    /// Asks for it again.
    ASK_AGAIN = "確認のため、もう一度入力してください。", "請再輸入一次以確認。", "Enter it once more.";
    /// A secret was changed; `{secret}`.
    CHANGED = "{secret}を変更しました。", "{secret}已變更。", "The {secret} is changed.";
    /// Of a change whose answer was lost; `{secret}`.
    CHANGE_UNKNOWN =
        "{secret}が変更されたかどうかは分かりません。次は新しいほうから試してください。",
        "無法得知{secret}是否已變更。下次請先試新的密碼。",
        "Whether the {secret} was changed is not known. Try the new one first.";
    /// Of a change that the card refused; `{secret}`.
    CHANGE_REFUSED =
        "{secret}は変更されていません。これまでのものがそのまま使えます。", "{secret}並未變更，請繼續使用原來的密碼。",
        "The {secret} is not changed. The old one still holds.";
    /// Of a card that could not be told that a login has ended.
    STILL_LOGGED_IN =
        "カードがパスワードを受け付けたままになっているおそれがあります。カードをリーダライタから取り出してください。",
        "卡片可能仍處於已輸入密碼的狀態，請將卡片從讀卡機取出。",
        "The card may still take the secret as given. Take it out of the reader.";
    /// Of a card that refuses to forget a login.
    POWER_CUT =
        "カードがパスワードを受け付けたままになるため、カードの電源を切りました。ほかのプログラムがカードを使っている間は切れません。その場合はカードを取り出してください。",
        "卡片不肯結束已輸入密碼的狀態，因此已切斷其電源。其他程式使用卡片期間無法切斷，此時請取出卡片。",
        "The card would not forget the secret, so its power was cut. That cannot be done while another program uses the card: then take it out of the reader.";
    /// Before the last try.
    LAST_TRY =
        "残り1回です。間違えるとロックされます。続けますか。", "只剩 1 次。再輸入錯誤將會鎖卡。要繼續嗎？",
        "One try left. If it is wrong, this secret is locked. Go on?";
    /// A secret of the wrong form.
    NOT_SENT =
        "形式が合わないため、カードには送りませんでした。残り回数は減っていません。",
        "格式不符，未傳送至卡片。剩餘次數沒有減少。",
        "Not sent to the card because its form is wrong. No try was used.";
    /// What to do about a locked signature password.
    LOCKED_SIGN =
        "署名用パスワードはロックされています。利用者証明用パスワードが分かる場合は、スマートフォンで予約しコンビニ等の端末で再設定できます。どちらも分からない場合は市区町村の窓口へお越しください。",
        "簽章用密碼已鎖卡。若您知道使用者證明用密碼，可先以手機預約，再於便利商店等的終端機重新設定；兩者皆不知道時，請至市區町村窗口辦理。",
        "The signature password is locked. If you know the authentication PIN, book by phone and reset it at a convenience-store terminal; if you know neither, go to your municipal office.";
    /// What to do about a locked authentication PIN.
    LOCKED_AUTH =
        "利用者証明用パスワードはロックされています。署名用パスワードが分かる場合は、スマートフォンで予約しコンビニ等の端末で再設定できます。どちらも分からない場合は市区町村の窓口へお越しください。",
        "使用者證明用密碼已鎖卡。若您知道簽章用密碼，可先以手機預約，再於便利商店等的終端機重新設定；兩者皆不知道時，請至市區町村窗口辦理。",
        "The authentication PIN is locked. If you know the signature password, book by phone and reset it at a convenience-store terminal; if you know neither, go to your municipal office.";
    /// What to do when both secrets are locked, and the card that is so by intent.
    LOCKED_BOTH =
        "どちらのパスワードもロックされています。市区町村の窓口へお越しください。顔認証マイナンバーカードは、はじめからこの状態です。",
        "兩組密碼都已鎖卡，請至市區町村窗口辦理。人臉辨識專用的個人編號卡自始即為此狀態。",
        "Both secrets are locked; go to your municipal office. A card made without PINs, for face recognition, is so from the start.";
    /// What to do about the locked password of a Juki card.
    LOCKED_JUKI =
        "市区町村の窓口へお越しください。", "請至市區町村窗口辦理。", "Go to your municipal office.";
    /// After one secret is locked.
    OTHER_WORKS =
        "もう一方の電子証明書は、引き続き使えます。", "另一張電子憑證仍可繼續使用。",
        "The other certificate can still be used.";
    /// Before the signature password is asked for.
    SIGN_NOTICE =
        "電子署名は、署名や押印に相当する効果をもつことがあります。また、署名した文書を受け取った人は、あなたの氏名・住所・生年月日・性別を読むことができます。",
        "數位簽章可能具有等同親筆簽名或蓋章的效力。此外，收到簽章文件的人可以讀取您的姓名、住址、出生年月日與性別。",
        "A digital signature may count as your handwritten signature or seal. Whoever receives the signed document can read your name, address, date of birth and sex.";
    /// What the card cannot know.
    MOVED =
        "発行後に住所や氏名が変わった場合、署名用電子証明書は失効しています。カードからは分かりません。",
        "發行後若住址或姓名有變更，簽章用電子憑證已失效；僅憑卡片無法得知。",
        "If your address or name changed after issue, the signature certificate has lapsed. The card cannot tell.";
    /// Of a certificate near its end; `{date}`, `{from}`.
    EXPIRES =
        "{date}に有効期間が満了します。{from}から窓口で更新できます（無料）。更新すると鍵が変わります。",
        "有效期間至 {date} 屆滿。自 {from} 起可至窗口更新（免費）。更新後金鑰會改變。",
        "Expires on {date}. It can be renewed at the counter from {from} (free). Renewal makes a new key.";
    /// Where revocation is asked.
    REVOCATION_CLOSED =
        "失効情報は、法律に基づく署名検証者などだけが受け取れます。ご自分の証明書は、ポータルサイトの「オンライン窓口」で確かめられます。",
        "廢止資訊僅提供給法律所定的簽章驗證者等。您本人的憑證可於入口網站的「線上窗口」確認。",
        "Revocation information is given only to parties recognised by law. You can check your own certificate at the portal's online window.";
    /// Of a practice certificate.
    PRACTICE =
        "これは練習用の証明書です。本物の手続には使えません。", "這是練習用憑證，不能用於實際手續。",
        "This is a practice certificate. It is of no use in real procedures.";
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The placeholders in `text`.
    fn placeholders(text: &str) -> Vec<&str> {
        let mut found: Vec<_> = text.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn every_language_has_every_sentence_with_its_placeholders() {
        for (name, words) in ALL {
            for language in [Language::Ja, Language::ZhTw, Language::En] {
                assert!(!words.text(language).is_empty(), "{name}");
                assert_eq!(placeholders(words.text(language)), placeholders(words.en), "{name}");
            }
        }
    }

    #[test]
    fn no_sentence_claims_what_only_revocation_data_can_tell() {
        for (name, words) in ALL {
            for claim in ["有効です", "検証済み", "本人確認", "valid certificate", "legally valid", "verified"]
            {
                assert!(
                    !words.ja.contains(claim) && !words.zh_tw.contains(claim) && !words.en.contains(claim),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn locales_choose_the_language() {
        for (locale, language) in [
            ("ja_JP.UTF-8", Language::Ja),
            ("ja", Language::Ja),
            ("zh_TW.UTF-8", Language::ZhTw),
            ("zh-Hant-TW", Language::ZhTw),
            ("zh_CN.UTF-8", Language::En),
            ("jam_JM", Language::En),
            ("C", Language::En),
            ("", Language::En),
        ] {
            assert_eq!(Language::of_locale(locale), language, "{locale}");
        }
    }

    #[test]
    fn placeholders_are_filled() {
        assert_eq!(ASK.filled(Language::En, &[("secret", "PIN"), ("n", "3")]), "Enter the PIN. Tries left: 3.");
    }
}
