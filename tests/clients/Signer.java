import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.Provider;
import java.security.ProviderException;
import java.security.Security;
import java.security.Signature;

/**
 * Signs for a long time: {@code java Signer.java CONFIGURATION PIN}. For each line on standard input it does what that says
 * and answers with a line: {@code load} loads the key store, with up to a minute's patience, and {@code sign} signs with the
 * key loaded last and checks the signature.
 */
class Signer {
    static final String ALIAS = "User Authentication Certificate";

    public static void main(String[] arguments) throws Exception {
        Provider provider = Security.getProvider("SunPKCS11").configure(arguments[0]);
        Security.addProvider(provider);
        KeyStore card = null;
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            try {
                if (line.equals("load")) {
                    card = load(provider, arguments[1].toCharArray());
                } else {
                    sign(card);
                }
                System.out.println("ok");
            } catch (GeneralSecurityException | ProviderException failure) {
                System.out.println(failure.getMessage());
            }
        }
    }

    /** Java looks only every few seconds whether a card that was taken out is back; until then there is no key store. */
    static KeyStore load(Provider provider, char[] pin) throws Exception {
        for (int attempt = 1;; attempt++) {
            try {
                KeyStore card = KeyStore.getInstance("PKCS11", provider);
                card.load(null, pin);
                return card;
            } catch (GeneralSecurityException failure) {
                if (attempt == 120) {
                    throw failure;
                }
                Thread.sleep(500);
            }
        }
    }

    static void sign(KeyStore card) throws GeneralSecurityException {
        byte[] data = "practice makes perfect".getBytes();
        Signature signer = Signature.getInstance("SHA256withRSA");
        signer.initSign((PrivateKey) card.getKey(ALIAS, null));
        signer.update(data);
        byte[] signature = signer.sign();
        Signature verifier = Signature.getInstance("SHA256withRSA", "SunRsaSign");
        verifier.initVerify(card.getCertificate(ALIAS));
        verifier.update(data);
        if (!verifier.verify(signature)) {
            throw new GeneralSecurityException("a wrong signature");
        }
    }
}
